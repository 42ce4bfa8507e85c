#include "tessera/reference/ops/golden_call.hpp"

#include "tessera/base/error.hpp"

namespace tessera::reference {

const TensorSpec& GoldenCall::output(std::size_t number) const {
  if (number >= record().outputs.size()) refuse("output", std::to_string(number));
  return record().outputs[number].spec;
}

bool GoldenCall::has(std::string_view operand) const {
  for (const OperandRecord& input : record().inputs) {
    if (input.name == operand) return true;
  }
  return false;
}

void GoldenCall::refuse(std::string_view kind, std::string_view name) const {
  throw base::InvalidArgument(
      fmt::format("[golden] the record of {} must have the {} {}; received none that fits", record().name, kind, name));
}

const OperandValues& GoldenCall::values(std::string_view operand, std::int64_t chip) const {
  base::require(chip < std::ssize(request_.chips),
                "[golden] inputs of chip {} are required; received those of {} chips", chip, request_.chips.size());
  const ChipOperands& operands = request_.chips[static_cast<std::size_t>(chip)];
  const std::vector<OperandRecord>& inputs = record().inputs;
  for (std::size_t i = 0; i < inputs.size() && i < operands.size(); ++i) {
    if (inputs[i].name == operand) return operands[i];
  }
  refuse("input", operand);
}

namespace {

at::Tensor to_torch(const OperandValues& values) {
  const auto extents = values.shape.extents();
  const at::IntArrayRef sizes(extents.data(), extents.size());
  if (!values.integers.empty())
    return at::from_blob(const_cast<std::int32_t*>(values.integers.data()), sizes, at::kInt).clone();
  base::require(std::ssize(values.data) == values.shape.volume(), "[golden] {} values are required; received {}",
                values.shape.volume(), values.data.size());
  return at::from_blob(const_cast<float*>(values.data.data()), sizes, at::kFloat).to(at::kDouble);
}

} // namespace

at::Tensor GoldenCall::input(std::string_view operand, std::int64_t chip) const {
  return to_torch(values(operand, chip));
}

std::vector<at::Tensor> GoldenCall::inputs(std::string_view operand) const {
  const ChipOperands& operands = request_.chips[static_cast<std::size_t>(request_.chip)];
  std::vector<at::Tensor> found;
  for (std::size_t i = 0; i < record().inputs.size() && i < operands.size(); ++i) {
    if (record().inputs[i].name == operand) found.push_back(to_torch(operands[i]));
  }
  return found;
}

std::span<const std::int32_t> GoldenCall::integers(std::string_view operand) const {
  return values(operand, request_.chip).integers;
}

GoldenOutput golden_output(const TensorSpec& spec, const at::Tensor& values) {
  base::require(values.numel() == spec.shape.volume(), "[golden] an output of {} has {} elements; received {}",
                spec.shape, spec.shape.volume(), values.numel());
  GoldenOutput output{.values = {.shape = spec.shape}};
  const auto copy = [&](auto& list, at::ScalarType type) {
    const at::Tensor own = values.to(type).contiguous();
    using T = typename std::remove_reference_t<decltype(list)>::value_type;
    list.assign(own.data_ptr<T>(), own.data_ptr<T>() + own.numel());
  };
  if (is_integer(spec.dtype))
    copy(output.values.integers, at::kInt);
  else
    copy(output.values.data, at::kFloat);
  return output;
}

at::Tensor activated(const at::Tensor& x, const std::string& activation) {
  if (activation == "NONE") return x;
  if (activation == "SILU") return x * at::sigmoid(x);
  if (activation == "GELU") return at::gelu(x, "none");
  if (activation == "GELU_TANH") return at::gelu(x, "tanh");
  if (activation == "RELU") return at::relu(x);
  throw base::InvalidArgument(
      fmt::format("[golden] NONE, SILU, GELU, GELU_TANH and RELU are known; received {}", activation));
}

} // namespace tessera::reference
