#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tessera/bringup/bringup.hpp"
#include "tessera/bringup/details.hpp"

namespace tessera::bringup {

/// What a stage works with, and how it tells its progress.
class StageContext {
 public:
  StageContext(const Inputs& inputs, const Options& options, Thresholds limits, RunDetails& details,
               std::function<void(std::int64_t, const std::string&)> advanced)
      : inputs_(inputs), options_(options), limits_(limits), details_(details), advanced_(std::move(advanced)) {}

  nn::CausalLM& device() const { return inputs_.device; }
  Reference& reference() const { return inputs_.reference; }
  const Material& material() const { return inputs_.material; }
  const Inputs& inputs() const { return inputs_; }
  const Options& options() const { return options_; }
  const Thresholds& limits() const { return limits_; }
  /// Where a stage leaves what it finds beside its rows.
  RunDetails& details() const { return details_; }

  /// Tells that the stage has `positions` more token positions behind it, and what it is at. Ends the stage by an
  /// exception when the user wants to stop.
  void advance(std::int64_t positions, const std::string& doing) const { advanced_(positions, doing); }

 private:
  const Inputs& inputs_;
  const Options& options_;
  Thresholds limits_;
  RunDetails& details_;
  std::function<void(std::int64_t, const std::string&)> advanced_;
};

/// Ends a stage that cannot be judged.
struct Skipped {
  std::string reason;
};

/// A stage of the guide. `run` returns its rows, at least one; it throws Skipped with a reason, or an error.
struct Stage {
  const char* name;
  const char* purpose;
  std::vector<Row> (*run)(const StageContext& context);
  /// Estimated work in token positions through the model: the share of the run's time that the stage is expected to
  /// take.
  std::int64_t (*work)(const StageContext& context);
};

/// All stages, in the guide's order. A new stage is one line there.
const std::vector<Stage>& all_stages();

} // namespace tessera::bringup
