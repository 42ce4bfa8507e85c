#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/memory_map.hpp"
#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/bringup/reference.hpp"
#include "tessera/nn/classifier/classifier_model.hpp"
#include "tessera/nn/decoder_model.hpp"
#include "tessera/perfmodel/constants.hpp"

namespace tessera::bringup {

/// An operand as the op graph tells of it.
struct OperandDetail {
  std::string name;
  std::string shape; ///< "[1, 1, 32, 256]", of one chip's shard
  std::string dtype;
  std::string memory; ///< "DRAM INTERLEAVED"
};

/// A program of a step.
struct OpDetail {
  std::string name;
  std::string scope;
  std::vector<OperandDetail> inputs{};
  std::vector<OperandDetail> outputs{};
  std::string fidelity{}; ///< of the matrix unit; empty: it is not used
  std::int64_t flops = 0;
  std::int64_t dram_bytes = 0;          ///< read and written
  std::optional<double> predicted_us{}; ///< on the card
  std::string bound{};
};

/// "prefill", "decode" or "forward", op by op.
struct StepDetail {
  std::string name;
  std::vector<OpDetail> ops;
};

/// What a model's own code does in a step: found in record mode, where nothing is computed.
struct RecordedSteps {
  std::vector<StepDetail> steps;
  MemoryMap memory;
  std::string release; ///< of TT-NN, that the predicted times speak of; empty: none is predicted
};

/// The prefill of one user's prompt and a decode step of `users`. REQUIRES: the model's device records.
RecordedSteps record_steps(nn::DecoderModel& model, std::int64_t prompt_length, std::int64_t users,
                           const perfmodel::Constants& constants);
/// The forward pass of `items` images, or texts of `tokens` tokens. REQUIRES: the model's device records.
RecordedSteps record_steps(nn::ClassifierModel& model, std::int64_t items, std::int64_t tokens,
                           const perfmodel::Constants& constants);

/// The same for a checkpoint, which may be a configuration alone: loads it on a recording device of one copy. A
/// classifier takes `request.users` items of `request.prompt_length` tokens. Throw what models::load throws.
RecordedSteps record_steps(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                           const models::Parallelism& parallelism, const SpeedRequest& request,
                           const perfmodel::Constants& constants);
RecordedSteps record_classifier_steps(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                                      const SpeedRequest& request, const perfmodel::Constants& constants);

/// ops.json and memory.json for a report's page. Throws IoError.
void write_recorded_steps(const RecordedSteps& steps, const std::string& key, const std::filesystem::path& folder);
/// The ops of ops.json; throws InvalidArgument when they were not written by it.
RecordedSteps recorded_steps_from_json(const nlohmann::json& json);

/// An op as this host ran it.
struct MeasuredOp {
  std::string name;
  std::string scope;
  double begin_us = 0.0; ///< from the step's begin
  double time_us = 0.0;
};
struct MeasuredStep {
  std::string name;
  std::vector<MeasuredOp> ops;
};

/// Steps as this host runs them, op by op, after one run of each that is not counted: the prefill of a prompt, then a
/// decode step. `devices` are those of the model.
std::vector<MeasuredStep> measure_steps(nn::CausalLM& model, const std::vector<runtime::MeshDevice*>& devices,
                                        const Ids& prompt);
/// The forward pass of a batch.
std::vector<MeasuredStep> measure_steps(nn::ClassifierModel& model, const nn::HostTensor& items);

/// timeline.json for a report's page, and back. Errors as above.
void write_measured_steps(const std::vector<MeasuredStep>& steps, const std::string& key,
                          const std::filesystem::path& folder);
std::vector<MeasuredStep> measured_steps_from_json(const nlohmann::json& json);

} // namespace tessera::bringup
