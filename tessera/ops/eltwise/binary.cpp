#include "tessera/ops/eltwise/binary.hpp"

#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

using RowFunction = void (*)(const float*, const float*, std::int64_t, float*) noexcept;

Tensor binary(std::string_view name, RowFunction kernels::Kernels::*function, const Tensor& a, const Tensor& b,
              const BinaryOptions& options) {
  require_tile(name, "input_tensor_a", a);
  require_tile(name, "input_tensor_b", b);
  require_same_device(name, {{"input_tensor_a", a}, {"input_tensor_b", b}});
  require_shape(name, "input_tensor_b", b, a.shape());
  require_float(name, options.dtype.value_or(a.dtype()));
  runtime::MeshDevice& device = a.device();
  const TensorSpec spec{a.shape(), options.dtype.value_or(a.dtype()), Layout::TILE,
                        options.memory_config.value_or(a.memory_config())};
  Tensor output = Tensor::allocate(device, spec, name);

  const Activation activation = options.input_tensor_a_activation;
  const auto body = [a = a.view(), b = b.view(), out = output.view(), activation, function](const runtime::Unit& unit,
                                                                                            const TileAt& tile) {
    const std::int64_t chip = unit.chip;
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t count = tile.rows * kTileWidth;
    float* const x = runtime::thread_scratch(2 * kTileElements);
    float* const y = x + kTileElements;
    load_tile_rows(a.tiles(chip, tile.matrix), tile.row, tile.column, tile.rows, x);
    load_tile_rows(b.tiles(chip, tile.matrix), tile.row, tile.column, tile.rows, y);
    apply(activation, count, x);
    (isa.*function)(x, y, count, x);
    isa.store_tile(out.tiles(chip, tile.matrix), tile.row, tile.column, tile.rows, x, kTileWidth);
  };
  launch(device, {.name = name, .stages = {for_each_tile(spec, body)}}, {{"input_tensor_a", a}, {"input_tensor_b", b}},
         {{"output", output}}, [&] {
           return OpDetails{{{"input_tensor_a_activation", std::string(to_string(activation))}},
                            {.vector_flops = (1 + flops_of(activation)) * a.shape().volume()}};
         });
  return output;
}

} // namespace

Tensor add(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options) {
  return binary("add", &kernels::Kernels::add, input_tensor_a, input_tensor_b, options);
}

Tensor mul(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options) {
  return binary("mul", &kernels::Kernels::mul, input_tensor_a, input_tensor_b, options);
}

} // namespace tessera::ops
