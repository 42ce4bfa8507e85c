#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "tessera/bringup/tune/tuner.hpp"

namespace tessera::bringup {

/// The presets, the Pareto front and what was chosen, the largest first; what does not fit; then the groups that cost
/// most accuracy.
std::string tune_table(const TuneResult& result);
/// {"chosen": {...}, "points": [...], "too_large": [...], "sensitivities": [...], "calibration": {"base", "chosen"}}.
nlohmann::json tune_json(const TuneResult& result);
/// Top-1 against weight bytes and against predicted tokens/s: the front as a line, presets and choice by name; readable
/// in light and dark.
std::string tune_svg(const TuneResult& result, const std::string& title);

} // namespace tessera::bringup
