#include "tessera/bringup/recorded_steps.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/bringup/run_file.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/models/load.hpp"
#include "tessera/nn/classifier/text_rows.hpp"
#include "tessera/perfmodel/op.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;

OperandDetail detail_of(const OperandRecord& operand) {
  const MemoryConfig& memory = operand.spec.memory_config;
  return {operand.name, to_string(operand.spec.shape), std::string(to_string(operand.spec.dtype)),
          fmt::format("{} {}", to_string(memory.buffer_type), to_string(memory.memory_layout))};
}

/// Collects the ops of a recording device while it lives.
class OpRecorder : public runtime::QueueObserver {
 public:
  OpRecorder(runtime::MeshDevice& device, const perfmodel::Constants& constants)
      : device_(device), constants_(constants), predicts_(constants.chips.contains(device.board().arch.name)) {
    device_.add_observer(*this);
  }
  ~OpRecorder() override { device_.remove_observer(*this); }
  OpRecorder(const OpRecorder&) = delete;
  OpRecorder& operator=(const OpRecorder&) = delete;

  /// What follows belongs to this step; decode attends up to `position`, 0: to all that the cache holds.
  void begin(std::string step, std::int64_t position) {
    steps_.push_back({std::move(step), {}});
    conditions_ = {.position = position};
  }
  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun& run) override {
    if (run.kind != runtime::ProgramKind::OP || steps_.empty()) return;
    const OpWork& work = record.work;
    OpDetail op{.name = record.name,
                .scope = record.scope,
                .fidelity = work.matmul_flops > 0 ? std::string(to_string(work.fidelity)) : "",
                .flops = work.matmul_flops + work.vector_flops,
                .dram_bytes = work.dram_read_bytes + work.dram_write_bytes};
    for (const OperandRecord& operand : record.inputs) op.inputs.push_back(detail_of(operand));
    for (const OperandRecord& operand : record.outputs) op.outputs.push_back(detail_of(operand));
    if (predicts_) {
      const auto predicted = perfmodel::predict_op(record, device_.board(), conditions_, constants_);
      op.predicted_us = predicted.time_ns / 1e3;
      op.bound = to_string(predicted.bound);
    }
    steps_.back().ops.push_back(std::move(op));
  }
  bool predicts() const { return predicts_; }
  std::vector<StepDetail> take() { return std::move(steps_); }

 private:
  runtime::MeshDevice& device_;
  const perfmodel::Constants& constants_;
  const bool predicts_;
  perfmodel::Conditions conditions_;
  std::vector<StepDetail> steps_;
};

RecordedSteps finished(OpRecorder& ops, const MemoryWatch& memory, const perfmodel::Constants& constants) {
  return {.steps = ops.take(), .memory = memory.map(), .release = ops.predicts() ? constants.release : ""};
}

json to_json(const OperandDetail& operand) {
  return {operand.name, operand.shape, operand.dtype, operand.memory};
}

json to_json(const OpDetail& op) {
  json inputs = json::array();
  json outputs = json::array();
  for (const OperandDetail& operand : op.inputs) inputs.push_back(to_json(operand));
  for (const OperandDetail& operand : op.outputs) outputs.push_back(to_json(operand));
  json out{
      {"name", op.name},         {"scope", op.scope}, {"inputs", std::move(inputs)}, {"outputs", std::move(outputs)},
      {"fidelity", op.fidelity}, {"flops", op.flops}, {"dram_bytes", op.dram_bytes}};
  if (op.predicted_us) {
    out["predicted_us"] = *op.predicted_us;
    out["bound"] = op.bound;
  }
  return out;
}

std::vector<OperandDetail> operands_from_json(const json& in) {
  std::vector<OperandDetail> operands;
  for (const json& one : in) operands.push_back({one.at(0), one.at(1), one.at(2), one.at(3)});
  return operands;
}

OpDetail op_from_json(const json& in) {
  OpDetail op{.name = in.at("name"),
              .scope = in.at("scope"),
              .inputs = operands_from_json(in.at("inputs")),
              .outputs = operands_from_json(in.at("outputs")),
              .fidelity = in.at("fidelity"),
              .flops = in.at("flops"),
              .dram_bytes = in.at("dram_bytes")};
  if (!in.contains("predicted_us")) return op;
  op.predicted_us = in.at("predicted_us").get<double>();
  op.bound = in.at("bound");
  return op;
}

} // namespace

RecordedSteps record_steps(nn::DecoderModel& model, std::int64_t prompt_length, std::int64_t users,
                           const perfmodel::Constants& constants) {
  OpRecorder ops(model.device(), constants);
  MemoryWatch memory(model.device());
  memory.begin("prefill");
  ops.begin("prefill", 0);
  model.forward_prefill(0, std::vector<std::int32_t>(static_cast<std::size_t>(prompt_length)), nn::LogitsRows::LAST);
  memory.begin("decode");
  ops.begin("decode", decode_position(prompt_length, model.info().context));
  model.decode_step(users);
  return finished(ops, memory, constants);
}

RecordedSteps record_steps(nn::ClassifierModel& model, std::int64_t items, std::int64_t tokens,
                           const perfmodel::Constants& constants) {
  const nn::ClassifierInfo& info = model.info();
  const bool images = info.input == nn::ClassifierInput::IMAGES;
  const std::vector<std::int64_t> extents =
      images ? std::vector{info.channels, info.image_size, info.image_size} : std::vector{nn::kTextRows, tokens};
  OpRecorder ops(model.device(), constants);
  MemoryWatch memory(model.device());
  memory.begin("forward");
  ops.begin("forward", 0);
  model.forward(model.allocate_inputs(items, extents));
  return finished(ops, memory, constants);
}

RecordedSteps record_steps(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                           const models::Parallelism& parallelism, const SpeedRequest& request,
                           const perfmodel::Constants& constants) {
  const auto device = runtime::MeshDevice::open(
      {.board = parallelism.submesh_of(board), .mode = runtime::RunMode::RECORD, .threads = 1});
  const auto model = models::load(device, checkpoint,
                                  {.precision = request.precision,
                                   .context = request.context,
                                   .max_users = request.users,
                                   .scheme = parallelism.scheme,
                                   .layers = request.layers});
  return record_steps(*model, std::min(request.prompt_length, model->info().context), request.users, constants);
}

RecordedSteps record_classifier_steps(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                                      const SpeedRequest& request, const perfmodel::Constants& constants) {
  const auto device = runtime::MeshDevice::open(
      {.board = models::Parallelism{}.submesh_of(board), .mode = runtime::RunMode::RECORD, .threads = 1});
  const auto model = models::load_classifier(device, checkpoint, {.precision = request.precision});
  return record_steps(*model, request.users, std::min(request.prompt_length, model->info().max_positions), constants);
}

void write_recorded_steps(const RecordedSteps& recorded, const std::string& key, const std::filesystem::path& folder) {
  if (folder.empty()) return;
  json steps = json::array();
  for (const StepDetail& step : recorded.steps) {
    json ops = json::array();
    for (const OpDetail& op : step.ops) ops.push_back(to_json(op));
    steps.push_back({{"name", step.name}, {"ops", std::move(ops)}});
  }
  run_file::write(folder / "ops.json", key, {{"release", recorded.release}, {"steps", std::move(steps)}});
  run_file::write(folder / "memory.json", key, memory_map_json(recorded.memory));
}

RecordedSteps recorded_steps_from_json(const json& in) {
  return run_file::converted("ops.json", [&] {
    RecordedSteps recorded{.release = in.at("release")};
    for (const json& step : in.at("steps")) {
      StepDetail& detail = recorded.steps.emplace_back(StepDetail{step.at("name"), {}});
      double sum = 0.0;
      for (const json& op : step.at("ops")) {
        detail.ops.push_back(op_from_json(op));
        sum += detail.ops.back().predicted_us.value_or(0.0);
        base::require(std::isfinite(sum), "predicted times must have a finite sum; received one that has none");
      }
    }
    return recorded;
  });
}

} // namespace tessera::bringup
