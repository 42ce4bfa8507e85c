#include "apps/cli/op_listing.hpp"

#include "tessera/runtime/mesh_device.hpp"

namespace tessera::cli {
namespace {

nlohmann::json to_json(const OperandRecord& operand) {
  const TensorSpec& spec = operand.spec;
  nlohmann::json json{{"name", operand.name},
                      {"dtype", to_string(spec.dtype)},
                      {"shape", spec.shape.extents()},
                      {"layout", to_string(spec.layout)},
                      {"buffer_type", to_string(spec.memory_config.buffer_type)},
                      {"memory_layout", to_string(spec.memory_config.memory_layout)},
                      {"address", operand.address},
                      {"bytes", spec.size_bytes()}};
  if (const auto& shard = spec.memory_config.shard_spec) {
    json["shard"] = {{"grid", {shard->grid_rows, shard->grid_columns}},
                     {"shape", {shard->shard_height, shard->shard_width}},
                     {"orientation", shard->orientation == ShardOrientation::ROW_MAJOR ? "ROW_MAJOR" : "COL_MAJOR"}};
  }
  return json;
}

nlohmann::json to_json(const OpWork& work) {
  return {{"matmul_flops", work.matmul_flops},         {"math_fidelity", to_string(work.fidelity)},
          {"vector_flops", work.vector_flops},         {"dram_read_bytes", work.dram_read_bytes},
          {"dram_write_bytes", work.dram_write_bytes}, {"l1_bytes", work.l1_bytes},
          {"ethernet_bytes", work.ethernet_bytes}};
}

nlohmann::json to_json(const OpRecord& record) {
  nlohmann::json inputs = nlohmann::json::array();
  nlohmann::json outputs = nlohmann::json::array();
  nlohmann::json attributes = nlohmann::json::object();
  for (const OperandRecord& operand : record.inputs) inputs.push_back(to_json(operand));
  for (const OperandRecord& operand : record.outputs) outputs.push_back(to_json(operand));
  for (const auto& [name, value] : record.attributes) {
    attributes[name] = std::visit([](const auto& v) { return nlohmann::json(v); }, value);
  }
  return {{"name", record.name},
          {"scope", record.scope},
          {"inputs", std::move(inputs)},
          {"outputs", std::move(outputs)},
          {"attributes", std::move(attributes)},
          {"work", to_json(record.work)}};
}

} // namespace

OpListing::OpListing(runtime::MeshDevice& device) : device_(device) {
  device_.add_observer(*this);
}

OpListing::~OpListing() {
  finish_step();
}

void OpListing::after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun& run) {
  nlohmann::json op = to_json(record);
  op["host_time_ns"] = run.time().count();
  ops_.push_back(std::move(op));
}

void OpListing::finish_step() {
  if (attached_) device_.remove_observer(*this);
  attached_ = false;
}

} // namespace tessera::cli
