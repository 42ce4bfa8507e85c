#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/bringup/checkpoint_check.hpp"
#include "tessera/bringup/reference.hpp"
#include "tessera/bringup/report.hpp"
#include "tessera/bringup/sharding.hpp"
#include "tessera/bringup/thresholds.hpp"
#include "tessera/nn/causal_lm.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::bringup {

/// The model in another form, on several chips of its board.
struct ParallelForm {
  std::string name;          ///< "dp 8", "tp 2x4"
  bool shares_layers = true; ///< tensor parallel; else copies of what is brought up: the same bits are required
  std::function<std::unique_ptr<nn::CausalLM>()> open;
  ShardingForm sharding{}; ///< how it lies on the board, for the report's page
};

struct PredictedSpeed;
struct Published;

/// What is brought up, and against what. Everything must outlive the run.
struct Inputs {
  nn::CausalLM& device;
  Reference& reference;
  const Material& material; ///< at least one text; a prompt for the stages that continue one
  std::string name{};       ///< of the checkpoint, as the user called it, for the report
  /// Names the checkpoint's content, for the report's key: see `checkpoint_content`.
  std::string identity{};
  /// Names its files as they lie here, for what is resumed: see `checkpoint_identity`.
  std::string files{};
  /// For the baseline's check of the tensors, with what `models::expected_tensors` says; null: the check is left out.
  const checkpoint::Checkpoint* checkpoint = nullptr;
  std::vector<nn::TensorExpectation> expected_tensors{};
  /// Ids as text, where there is a tokenizer; without one the report shows ids and says so.
  std::function<std::string(std::span<const std::int32_t>)> decode_text{};
  /// Of `device`: module stages say whether each module fits L1. Empty: they do not.
  std::vector<runtime::MeshDevice*> devices{};
  /// For the stages data-parallel and tensor-parallel; without any of its kind a stage is skipped.
  std::vector<ParallelForm> parallel_forms{};
  /// The model's predicted speed on its board after a prompt of so many tokens; null: the stage performance measures
  /// this host alone.
  std::function<std::optional<PredictedSpeed>(std::int64_t)> predict_speed{};
  /// The same for the case of published figures of the model that configs/ has under the name `known_as`; null: none.
  std::function<std::optional<PredictedSpeed>(const Published&)> predict_published{};
  std::string known_as{};
  std::string known_board{}; ///< the board's name, whatever the user called it
};

struct Options {
  std::vector<std::string> stages; ///< names; empty: all, in the guide's order whatever the order here
  std::string precision = "accuracy";
  std::string numerics = "native";
  std::string board = "n150";
  std::optional<Thresholds> thresholds; ///< in place of those of the precision
  bool all_layers = false;              ///< module stages take every layer; else the first, the middle and the last
  std::int64_t decode_positions = 32;   ///< first positions of each text that full-decode compares layer by layer
  std::int64_t generation_tokens = 32;
  std::filesystem::path report_folder; ///< for bringup.json and bringup.xml (JUnit); empty: nothing is written
  /// Takes over the stages that an earlier run in `report_folder` passed or skipped under the same key, of the same
  /// files. Failed ones run again: what made them fail may have been mended.
  bool resume = false;
};

/// How far a run is.
struct ProgressState {
  std::string stage;
  std::size_t stage_number = 0; ///< from 1
  std::size_t stage_count = 0;
  double stage_fraction = 0.0;          ///< 0..1, by the estimate of its work
  std::string doing;                    ///< "layers.3.mlp"
  std::optional<double> seconds_left{}; ///< of the whole run, estimated from the time taken so far
};

/// Told what happens while a run goes on; the CLI prints it.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void stage_started(const std::string& /*name*/) {}
  virtual void advanced(const ProgressState&) {}
  virtual void stage_finished(const StageResult&) {}
  /// When true, the run ends at the next step; stages that have finished are in the report.
  virtual bool cancelled() const { return false; }
};

/// Runs the stages, each with its own verdict: a failing stage, or one that throws, does not keep the next from
/// running. After each stage the report is written to `report_folder`. Throws InvalidArgument for unknown stage names
/// (listing all), missing texts, and sequences that the model cannot take; IoError when the report cannot be written.
Report run(const Inputs& inputs, const Options& options, Progress& progress);

/// Names of all stages, in order.
std::vector<std::string> stage_names();

} // namespace tessera::bringup
