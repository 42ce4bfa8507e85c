#include "tessera/bringup/ops/op_replay.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/spec/sharding.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::bringup {
namespace {

using tensor::Tensor;

/// As the op's operand lay, its shards, where there are any, cut anew: the op may have run beside others.
TensorSpec placed(TensorSpec spec, const ArchSpec& arch) {
  const MemoryConfig place = spec.memory_config;
  if (place.is_sharded()) spec.memory_config = sharded_over(spec, place.memory_layout, arch, place.buffer_type);
  return spec;
}

/// One input on all chips: each has values of its own.
Tensor upload(runtime::MeshDevice& device, const OpCase& op, std::size_t number) {
  const OperandRecord& operand = op.record.inputs[number];
  const Tensor tensor = Tensor::allocate(device, placed(operand.spec, device.board().arch), operand.name);
  const Shape& shape = operand.spec.shape;
  if (!is_integer(operand.spec.dtype)) {
    std::vector<tensor::HostRows> rows;
    for (const reference::ChipOperands& chip : op.inputs)
      rows.push_back(tensor::rows_of({shape, chip.at(number).data}));
    tensor::write_rows(tensor, tensor::MeshRows(std::move(rows)));
    return tensor;
  }
  std::vector<std::int32_t> values;
  std::vector<tensor::MeshPart> parts;
  std::vector<std::int64_t> first(shape.rank(), 0);
  const Shape whole = shape.with(0, shape[0] * op.chips());
  for (std::int64_t chip = 0; chip < op.chips(); ++chip) {
    const auto& own = op.inputs.at(static_cast<std::size_t>(chip)).at(number).integers;
    values.insert(values.end(), own.begin(), own.end());
    first[0] = chip * shape[0];
    parts.push_back({.whole = whole, .first = Shape(first), .shape = shape});
  }
  tensor::write(tensor, std::move(values), std::move(parts));
  return tensor;
}

reference::OperandValues download(const Tensor& tensor, std::int64_t chip) {
  reference::OperandValues values{.shape = tensor.shape()};
  if (is_integer(tensor.dtype()))
    values.integers = tensor::to_host_integers(tensor, chip);
  else
    values.data = tensor::to_host(tensor, chip).data;
  return values;
}

} // namespace

OpCall::OpCall(runtime::MeshDevice& device, const OpCase& op) : OpAttributes(op.record), device_(device) {
  for (std::size_t i = 0; i < op.record.inputs.size(); ++i) inputs_.push_back(upload(device, op, i));
}

Tensor OpCall::input(std::string_view name) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (record().inputs[i].name == name) return inputs_[i];
  }
  return {};
}

std::vector<Tensor> OpCall::inputs(std::string_view name) const {
  std::vector<Tensor> found;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (record().inputs[i].name == name) found.push_back(inputs_[i]);
  }
  return found;
}

TensorSpec OpCall::output(std::size_t number) const {
  base::require(number < record().outputs.size(), "[replay-op] {} must have an output {}; it has {}", record().name,
                number, record().outputs.size());
  return placed(record().outputs[number].spec, device_.board().arch);
}

Tensor OpCall::output_tensor(std::size_t number) const {
  return tensor::zeros(device_, output(number), "output");
}

ComputeConfig OpCall::compute() const {
  return {.math_fidelity = parse_math_fidelity(text("math_fidelity")),
          .fp32_dest_acc_en = flag("fp32_dest_acc_en"),
          .packer_l1_acc = has_attribute("packer_l1_acc") && flag("packer_l1_acc")};
}

OpCase run_again(runtime::MeshDevice& device, const OpCase& op, const OpFunction& function) {
  base::require(device.board().mesh_rows == op.mesh_rows && device.board().mesh_columns == op.mesh_columns,
                "[replay-op] a mesh of {}x{} chips is required, as the op ran on; received {}x{}", op.mesh_rows,
                op.mesh_columns, device.board().mesh_rows, device.board().mesh_columns);
  const OpFunction call = function ? function : function_of(op.record.name);
  OpCase again = op;
  again.numerics = device.numerics();
  again.outputs.clear();
  const std::vector<Tensor> outputs = call(OpCall(device, op));
  for (std::int64_t chip = 0; chip < op.chips(); ++chip) {
    reference::ChipOperands& values = again.outputs.emplace_back();
    for (const Tensor& output : outputs) values.push_back(download(output, chip));
  }
  return again;
}

BoardSpec board_of(const OpCase& op) {
  base::require(std::ranges::find(boards(), op.board, &BoardSpec::name) != boards().end(),
                "[replay-op] a board that is built in, or its JSON file as --board FILE, is required; the op ran on {}",
                op.board);
  BoardSpec spec = board(op.board);
  spec.mesh_rows = op.mesh_rows;
  spec.mesh_columns = op.mesh_columns;
  return spec;
}

} // namespace tessera::bringup
