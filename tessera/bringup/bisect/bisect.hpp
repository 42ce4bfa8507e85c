#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/bisect/routing.hpp"
#include "tessera/bringup/ops/op_comparison.hpp"
#include "tessera/bringup/reference.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/metrics/logits.hpp"
#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/precision.hpp"

namespace tessera::bringup::bisect {

/// Where accuracy is looked for. Everything must outlive the run.
struct Inputs {
  nn::CausalLM& device;
  nn::CausalLM& reference;
  std::vector<Ids> texts; ///< at least one; those as long as the first are used
  /// The precision of the device's model, and the same as the JSON of a precision file ({"base": "performance"}).
  nn::Precision precision{};
  nlohmann::json precision_file = nlohmann::json::object();
  /// Formats of weights that are at least as wide as this lose nothing of the checkpoint.
  DataType stored = DataType::FLOAT32;
  /// Opens the device's model in the precision of such a JSON, or of the preset that a string names. May throw what
  /// loading throws; what needs that model is left out then. Empty: nothing is swapped to full precision.
  std::function<std::unique_ptr<nn::CausalLM>(const nlohmann::json& precision)> open{};
  /// The router of a layer's mixture of experts; empty, or none: a layer has no mixture.
  std::function<std::optional<Router>(std::int64_t layer)> router{};
  /// Calls `run` while each op of the device is compared with the reference's on the same inputs (OpComparison); empty:
  /// modules are not looked into.
  std::function<std::vector<OpRow>(const std::function<void()>& run)> compare_ops{};
};

/// How far the work is.
struct Progress {
  std::string doing;
  double fraction = 0.0; ///< 0..1
  std::optional<double> seconds_left{};
};

struct Options {
  std::string numerics = "native";
  std::int64_t decode_positions = 72; ///< of each text, in the local errors of decode: two pages of the KV cache
  std::function<void(const Progress&)> progress{}; ///< may throw to stop the work
};

/// How the device's logits agree with the reference's, over the texts.
using Agreement = metrics::LogitsAgreement;

/// What is known of a module. Errors are those of its output.
struct ModuleErrors {
  using Figures = std::optional<metrics::TensorComparison>;

  std::string module;
  Figures local_prefill; ///< fed with the reference's inputs
  Figures local_decode;
  Figures full_prefill; ///< the same in full precision: what formats do not explain
  Figures full_decode;
  Figures accumulated; ///< fed with the device's own inputs, in prefill
  /// Relative errors of the device's own input, and of what the reference makes of that: their ratio is the gain.
  std::optional<double> input_error;
  std::optional<double> carried_error;
  std::int64_t first_wrong_position = -1; ///< in decode; -1: none stands out
  std::string note;                       ///< what went wrong when it could not be run
  std::optional<OpRow> worst_op;          ///< of the worst modules: the op with the largest error of its own

  /// How much larger an error leaves the module than it came, computed without any rounding. Nothing where no error
  /// came in.
  std::optional<double> gain() const;
  /// The largest relative local error of both phases; 0 when none is known.
  double local_error() const;
};

/// The texts run again with one thing put right.
struct Swap {
  enum class Kind { MODULE, PRECISION };

  Kind kind = Kind::MODULE;
  std::string what;             ///< "layers.3.mlp", "ff1_3", "ff1_3 of layers 0-1"
  Agreement before;             ///< what it is compared with
  Agreement after;              ///< with the reference's module, or with the group in `format`
  std::string group;            ///< of PRECISION: the tensor group,
  std::int64_t first_layer = 0; ///< its layers
  std::int64_t last_layer = -1; ///< -1: all of the model
  std::string format;           ///< "f32"
  std::string from;             ///< the format that it has

  double kl_gain() const { return before.kl_divergence - after.kl_divergence; }
  double kl_share() const; ///< of the KL divergence before; 0 when that is 0
  double top1_gain() const { return after.top1 - before.top1; }
  double error_share() const; ///< of the squared error of the logits, by 1 - PCC
};

/// What accuracy is lost by.
enum class Cause {
  NONE,      ///< nothing stands out
  MODULE,    ///< a module is wrong, whatever the formats
  DECODE,    ///< a module, or a layer of the whole model, is wrong in decode alone
  PRECISION, ///< a tensor group's format
  AMPLIFIER, ///< no module is wrong; one makes small errors large
  SPREAD     ///< many things, each a little
};

struct Finding {
  Cause cause = Cause::NONE;
  std::string culprit;   ///< "layers.3.mlp", "ff1_3 of layer 3"; empty for NONE and SPREAD
  std::string sentence;  ///< in plain words, with the remedy
  std::string module;    ///< in which it lies, where that is one
  nlohmann::json remedy; ///< a precision file; null: none is offered
};

struct Result {
  std::string numerics;
  std::string precision;
  std::int64_t layers = 0;
  std::int64_t positions = 0; ///< judged, of all texts
  Agreement prefill;
  Agreement decode;
  std::vector<ModuleErrors> modules; ///< in the model's order
  std::vector<double> decode_states; ///< relative errors of the hidden states in decode: embedding, layers.0, ...
  std::vector<Flips> flips;          ///< of layers with a mixture of experts
  std::vector<Swap> swaps;           ///< by their gain, the largest first
  std::vector<std::string> notes;
  Finding finding;

  const ModuleErrors* module(const std::string& name) const;
};

/// Finds where a device's model loses accuracy against the reference: local and accumulated errors of every module,
/// then what is gained with one module of the reference's, or one tensor group in full precision, in its place.
/// Overwrites the users' caches of both. Throws InvalidArgument for texts of fewer than two ids or longer than the
/// context and for a reference whose logits are not finite, Unsupported for layers of an unknown form, and what
/// `progress` throws.
Result bisect(const Inputs& inputs, const Options& options);

} // namespace tessera::bringup::bisect
