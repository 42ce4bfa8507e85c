#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "tessera/bringup/predicted_speed.hpp"

namespace tessera::cli {

using bringup::PhaseTime;
using bringup::PredictedSpeed;

/// {"ttft_ms": ..., "error": ..., ...} and {"tokens_per_s_user": ..., "tokens_per_s": ..., ...}, each with its "ops".
nlohmann::json prefill_json(const PredictedSpeed& plan);
nlohmann::json decode_json(const PredictedSpeed& plan);
/// The ops of a step: [{"op", "count", "time_ms", "bound", "roofline"}], most time first.
nlohmann::json ops_json(const perfmodel::StepTime& step);
/// What the prediction is, and a table of the ops of both phases.
std::string time_text(const PredictedSpeed& plan);
/// A table of a step's ops, at most `rows`.
std::string ops_text(const perfmodel::StepTime& step, std::size_t rows);

} // namespace tessera::cli
