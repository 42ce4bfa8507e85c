#include "tessera/ops/data_movement/copy.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
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

/// Cores read and write each other's rows, which start at multiples of the alignment.
void require_aligned_rows(std::string_view op, const TensorSpec& spec, std::int64_t alignment) {
  if (spec.layout == Layout::TILE || !spec.memory_config.is_sharded()) return;
  const std::int64_t row_bytes = spec.memory_config.shard_spec->shard_width * element_bits(spec.dtype) / 8;
  base::require(row_bytes % alignment == 0,
                "[{}] rows of a shard in ROW_MAJOR must be a multiple of L1's alignment, {} bytes; received {} bytes "
                "for {}; give a ShardSpec of another width, pad the tensor, or leave it interleaved",
                op, alignment, row_bytes, spec);
}

Tensor moved(std::string_view name, const Tensor& tensor, const MemoryConfig& memory_config) {
  const TensorSpec spec = placed(tensor.spec(), tensor, memory_config);
  require_aligned_rows(name, spec, tensor.device().board().arch.l1_alignment_bytes);
  Tensor output = Tensor::allocate(tensor.device(), spec, name);
  launch_copy(name, tensor, output);
  return output;
}

void require_sharded(std::string_view op, std::string_view argument, const Tensor& tensor, bool sharded) {
  base::require(tensor.defined() && tensor.memory_config().is_sharded() == sharded,
                "[{}] {} must be {}; received {}; to_memory_config takes any", op, argument,
                sharded ? "sharded" : "interleaved", tensor.defined() ? to_string(tensor.spec()) : "none");
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
  return moved("to_memory_config", tensor, memory_config);
}

Tensor interleaved_to_sharded(const Tensor& input_tensor, const MemoryConfig& memory_config) {
  constexpr std::string_view kName = "interleaved_to_sharded";
  require_sharded(kName, "input_tensor", input_tensor, false);
  base::require(memory_config.is_sharded(), "[{}] a sharded memory_config is required; received {}", kName,
                memory_config);
  return moved(kName, input_tensor, memory_config);
}

Tensor sharded_to_interleaved(const Tensor& input_tensor, const MemoryConfig& memory_config) {
  constexpr std::string_view kName = "sharded_to_interleaved";
  require_sharded(kName, "input_tensor", input_tensor, true);
  base::require(!memory_config.is_sharded(), "[{}] an interleaved memory_config is required; received {}", kName,
                memory_config);
  return moved(kName, input_tensor, memory_config);
}

Tensor reshard(const Tensor& input_tensor, const MemoryConfig& memory_config) {
  constexpr std::string_view kName = "reshard";
  require_sharded(kName, "input_tensor", input_tensor, true);
  base::require(memory_config.is_sharded(), "[{}] a sharded memory_config is required; received {}", kName,
                memory_config);
  return moved(kName, input_tensor, memory_config);
}

} // namespace tessera::ops
