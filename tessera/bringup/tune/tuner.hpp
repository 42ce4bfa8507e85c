#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/bringup/tune/precision_space.hpp"

namespace tessera::bringup {

/// The presets that every search measures.
inline constexpr std::array<std::string_view, 5> kTunePresets = {"bf16", "bfp8", "bfp4", "accuracy", "performance"};

/// How well a precision keeps to the reference on one part of the text.
struct TuneAccuracy {
  double top1 = 0;
  double top5 = 0;
  double kl_divergence = 0; ///< nats
  double pcc = 0;
  std::int64_t positions = 0;
};

/// What a precision costs.
struct TuneCost {
  double weight_bytes = 0; ///< that a chip reads in a decode step
  double decode_ns = 0;    ///< predicted time of the step on the card; 0: nothing is known of the architecture
  double tokens_per_s_user() const { return decode_ns > 0 ? 1e9 / decode_ns : 0; }
};

enum class TuneObjective { WEIGHT_BYTES, TOKENS_PER_S };

/// The text's parts: sensitivities are measured on one, what is chosen is judged on the other.
enum class TextPart { CALIBRATION, JUDGED };

/// What the search asks: precisions as files, the answers by measurement and by prediction. Either throws OutOfMemory
/// for a precision that does not fit, which the search then leaves out.
struct TuneProblem {
  const PrecisionSpace& space;
  std::function<TuneAccuracy(const nlohmann::json& file, TextPart part)> accuracy;
  std::function<TuneCost(const nlohmann::json& file)> cost;
};

/// What a precision must keep to. With none of them: no lower a top-1 than the base's on the judged part, and no higher
/// a divergence on either. With max_weight_bytes alone: the most accurate precision within them is looked for.
struct TuneLimits {
  std::optional<double> min_top1;
  std::optional<double> max_kl;
  std::optional<double> max_weight_bytes;

  bool of_accuracy() const { return min_top1 || max_kl; }
};

struct TuneOptions {
  TuneObjective objective = TuneObjective::WEIGHT_BYTES;
  TuneLimits limits;
  std::uint64_t seed = 1;
  std::int64_t trials = 16; ///< exchanges of single choices that are tried at the end
  std::int64_t front_points =
      8; ///< of the way from the most accurate precision to the smallest, measured for the front
  /// Called after each measurement: how many are done, how many there may be in all. May throw to stop the search.
  std::function<void(std::int64_t, std::int64_t, const std::string&)> progress;
};

/// A precision that was measured on the judged part.
struct TunePoint {
  std::string name; ///< "accuracy", "step 12", "exchange 3"
  nlohmann::json file;
  TuneCost cost;
  TuneAccuracy accuracy;
  bool on_front = false; ///< nothing that was measured has both a lower cost and a lower divergence
};

/// What one choice of one knob alone changes from the base.
struct TuneSensitivity {
  std::string knob;
  std::string choice; ///< "bfp4"
  double kl_change = 0;
  double bytes_change = 0;
  double decode_ns_change = 0;
};

/// A precision that the card's memory does not hold: it was not measured.
struct TuneTooLarge {
  std::string name; ///< "bf16", "layers.3.wqkv in BFLOAT16"
  nlohmann::json file;
  std::string reason; ///< the allocator's
};

struct TuneResult {
  std::optional<std::size_t> chosen; ///< among the points; none: nothing keeps to the limits
  std::vector<TunePoint> points;     ///< the base first, then as they were measured
  std::vector<TuneSensitivity> sensitivities;
  std::vector<TuneTooLarge> too_large;
  TuneAccuracy base_calibration;
  TuneAccuracy chosen_calibration;
};

/// Searches a space of precisions.
///
/// Each choice of each knob is measured alone, the base around it. Divergences add up nearly (errors of different
/// tensors are independent, and the divergence is quadratic in them), so that on the way from the most accurate
/// precision to the smallest the steps that save most for what they lose come first (the convex hull of each knob, by
/// slope, as Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988). The way is
/// searched by bisection and the result improved by exchanges, each measured on the judged part before it counts. The
/// same problem, options and measurements give the same result.
///
/// Throws InvalidArgument for limits that are no numbers, for fewer weight bytes than the space has, for the objective
/// TOKENS_PER_S without predictions and for a base whose logits are no numbers; OutOfMemory when the base does not fit.
TuneResult tune(const TuneProblem& problem, const TuneOptions& options);

} // namespace tessera::bringup
