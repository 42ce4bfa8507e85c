#include "tessera/ops/eltwise/unary.hpp"

#include <algorithm>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/eltwise/eltwise_units.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t kTanhFlops = 4;

/// function(count, x): works on x in place, with as much memory again behind x. `chain`: the same on the card.
template <typename Function>
Tensor unary(std::string_view name, const Tensor& input, DataType dtype,
             const std::optional<MemoryConfig>& memory_config, OpDetails details, std::vector<VectorStep> chain,
             Function function) {
  require_tile(name, "input_tensor", input);
  require_float(name, dtype);
  runtime::MeshDevice& device = input.device();
  const TensorSpec spec = placed({input.shape(), dtype, Layout::TILE, {}}, input, memory_config);
  const Tensor output = Tensor::allocate(device, spec, name);
  const auto body = [in = input.view(), out = output.view(), function](const runtime::Unit& unit, const TileAt& tile) {
    float* const x = runtime::thread_scratch(2 * kTileElements);
    load_tile_rows(in.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, x);
    function(tile.rows * kTileWidth, x);
    kernels::kernels().store_tile(out.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, x, kTileWidth);
  };
  const auto units = [&] { return unary_units(chain, spec.tile_columns(), {input.dtype(), dtype}); };
  const auto stage = [&] {
    if (!is_exact(device)) return for_each_tile(spec, body);
    return exact_rows(output, units(), {{read_rows(input.view())}, write_rows(output.view())});
  };
  launch(device, {.name = name, .stages = {stage()}}, {{"input_tensor", input}}, {{"output", output}}, [&] {
    details.decomposition = shared(units());
    return details;
  });
  return output;
}

} // namespace

Tensor gelu(const Tensor& input_tensor, const GeluOptions& options) {
  require_tile("gelu", "input_tensor", input_tensor);
  const Activation activation = options.fast_and_approximate_mode ? Activation::GELU_TANH : Activation::GELU;
  return unary("gelu", input_tensor, options.dtype.value_or(input_tensor.dtype()), options.memory_config,
               {{{"fast_and_approximate_mode", options.fast_and_approximate_mode}},
                {.vector_flops = flops_of(activation) * input_tensor.shape().volume()}},
               {{function_of(activation)}},
               [activation](std::int64_t count, float* x) { apply(activation, count, x); });
}

Tensor mul(const Tensor& input_tensor, float scalar) {
  require_tile("mul", "input_tensor", input_tensor);
  return unary("mul", input_tensor, input_tensor.dtype(), {},
               {{{"scalar", double{scalar}}}, {.vector_flops = input_tensor.shape().volume()}},
               {{TileFunction::MUL_SCALAR, scalar}}, [scalar](std::int64_t count, float* x) {
                 float* const factors = x + kTileElements;
                 std::fill_n(factors, count, scalar);
                 kernels::kernels().mul(x, factors, count, x);
               });
}

Tensor tanh(const Tensor& input_tensor) {
  require_tile("tanh", "input_tensor", input_tensor);
  return unary("tanh", input_tensor, input_tensor.dtype(), {},
               {{}, {.vector_flops = kTanhFlops * input_tensor.shape().volume()}}, {{TileFunction::TANH}},
               [](std::int64_t count, float* x) { kernels::kernels().softcap(x, 1.0F, count, x); });
}

Tensor softcap(const Tensor& input_tensor, float cap) {
  require_tile("softcap", "input_tensor", input_tensor);
  base::require(cap > 0.0F, "[softcap] cap must be positive; received {}", cap);
  return unary("softcap", input_tensor, input_tensor.dtype(), {},
               {{{"cap", double{cap}}}, {.vector_flops = (kTanhFlops + 2) * input_tensor.shape().volume()}},
               {{TileFunction::MUL_SCALAR, 1.0F / cap}, {TileFunction::TANH}, {TileFunction::MUL_SCALAR, cap}},
               [cap](std::int64_t count, float* x) { kernels::kernels().softcap(x, cap, count, x); });
}

} // namespace tessera::ops
