#include "tessera/ops/data_movement/copy.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t kBytesOfUnit = std::int64_t{64} << 10;

void launch_copy(std::string_view name, const Tensor& from, const Tensor& to) {
  const std::int64_t bytes = from.spec().size_bytes();
  const auto body = [in = from.view(), out = to.view(), bytes](const runtime::Unit& unit) {
    const std::int64_t first = unit.index * kBytesOfUnit;
    std::memcpy(out.bytes(unit.chip) + first, in.bytes(unit.chip) + first,
                static_cast<std::size_t>(std::min(kBytesOfUnit, bytes - first)));
  };
  launch(from.device(), {.name = name, .stages = {{div_up(bytes, kBytesOfUnit), body}}}, {{"input_tensor", from}},
         {{"output", to}}, [] { return OpDetails{.decomposition = movement()}; });
}

} // namespace

void copy(const Tensor& input_a, const Tensor& input_b) {
  base::require(input_a.defined() && input_b.defined() && input_a.shape() == input_b.shape() &&
                    input_a.dtype() == input_b.dtype() && input_a.layout() == input_b.layout(),
                "[copy] input_b must have the shape, dtype and layout of input_a; received {} and {}",
                input_a.defined() ? to_string(input_a.spec()) : "none",
                input_b.defined() ? to_string(input_b.spec()) : "none");
  require_same_device("copy", {{"input_a", input_a}, {"input_b", input_b}});
  launch_copy("copy", input_a, input_b);
}

Tensor to_memory_config(const Tensor& tensor, const MemoryConfig& memory_config) {
  base::require(tensor.defined(), "[to_memory_config] a tensor is required; received none");
  TensorSpec spec = tensor.spec();
  spec.memory_config = memory_config;
  Tensor output = Tensor::allocate(tensor.device(), spec, "to_memory_config");
  launch_copy("to_memory_config", tensor, output);
  return output;
}

} // namespace tessera::ops
