#include "tessera/ops/eltwise/unary.hpp"

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {

Tensor gelu(const Tensor& input_tensor, const GeluOptions& options) {
  require_tile("gelu", "input_tensor", input_tensor);
  require_float("gelu", options.dtype.value_or(input_tensor.dtype()));
  runtime::MeshDevice& device = input_tensor.device();
  const TensorSpec spec{input_tensor.shape(), options.dtype.value_or(input_tensor.dtype()), Layout::TILE,
                        options.memory_config.value_or(input_tensor.memory_config())};
  const Tensor output = Tensor::allocate(device, spec, "gelu");
  const Activation activation = options.fast_and_approximate_mode ? Activation::GELU_TANH : Activation::GELU;
  const auto body = [in = input_tensor.view(), out = output.view(), activation](const runtime::Unit& unit,
                                                                                const TileAt& tile) {
    float* const x = runtime::thread_scratch(kTileElements);
    load_tile_rows(in.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, x);
    apply(activation, tile.rows * kTileWidth, x);
    kernels::kernels().store_tile(out.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, x, kTileWidth);
  };
  launch(device, {.name = "gelu", .stages = {for_each_tile(spec, body)}}, {{"input_tensor", input_tensor}},
         {{"output", output}}, [&] {
           return OpDetails{{{"fast_and_approximate_mode", options.fast_and_approximate_mode}},
                            {.vector_flops = flops_of(activation) * input_tensor.shape().volume()}};
         });
  return output;
}

} // namespace tessera::ops
