#include "tessera/ops/eltwise/binary.hpp"

#include <algorithm>

#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

// Elements of one unit: two operands of fp32 fit the first-level cache.
constexpr std::int64_t kElementsOfUnit = 4096;

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

  // A unit is a run of tiles in one row of tiles.
  const std::int64_t height = spec.shape[-2];
  const std::int64_t bands = spec.tile_rows();
  const std::int64_t columns = spec.tile_columns();
  const std::int64_t run = std::max<std::int64_t>(1, kElementsOfUnit / (std::min(height, kTileHeight) * kTileWidth));
  const std::int64_t runs = div_up(columns, run);
  const bool silu = options.input_tensor_a_activation == Activation::SILU;
  const auto body = [a = a.view(), b = b.view(), out = output.view(), height, bands, columns, run, runs, silu,
                     function](const runtime::Unit& unit) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t matrix = unit.index / (runs * bands);
    const std::int64_t band = unit.index / runs % bands;
    const std::int64_t first = unit.index % runs * run;
    const std::int64_t count = std::min(run, columns - first);
    const std::int64_t width = count * kTileWidth;
    const std::int64_t rows = std::min(kTileHeight, height - band * kTileHeight);
    float* const x = runtime::thread_scratch(2 * rows * width);
    float* const y = x + rows * width;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t at = band * kTileHeight + row;
      isa.load_row(a.tiles(unit.chip, matrix), at, first * kTileWidth, width, x + row * width);
      isa.load_row(b.tiles(unit.chip, matrix), at, first * kTileWidth, width, y + row * width);
    }
    if (silu) isa.silu(x, rows * width, x);
    (isa.*function)(x, y, rows * width, x);
    for (std::int64_t c = 0; c < count; ++c)
      isa.store_tile(out.tiles(unit.chip, matrix), band, first + c, rows, x + c * kTileWidth, width);
  };
  device.queue().enqueue({.name = name, .stages = {{spec.num_matrices() * bands * runs, body}}, .scope = device.scope()}, [&] {
    return describe({{"input_tensor_a", a}, {"input_tensor_b", b}}, {{"output", output}},
                    {{"input_tensor_a_activation", std::string(silu ? "SILU" : "NONE")}},
                    {.vector_flops = (silu ? 5 : 1) * a.shape().volume()});
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
