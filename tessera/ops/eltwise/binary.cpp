#include "tessera/ops/eltwise/binary.hpp"

#include "tessera/ops/eltwise/eltwise_units.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

using RowFunction = void (*)(const float*, const float*, std::int64_t, float*) noexcept;

Tensor binary(std::string_view name, RowFunction kernels::Kernels::*function, TileFunction exact, const Tensor& a,
              const Tensor& b, const BinaryOptions& options) {
  require_tile(name, "input_tensor_a", a);
  require_tile(name, "input_tensor_b", b);
  require_same_device(name, {{"input_tensor_a", a}, {"input_tensor_b", b}});
  require_shape(name, "input_tensor_b", b, a.shape());
  require_float(name, options.dtype.value_or(a.dtype()));
  runtime::MeshDevice& device = a.device();
  const TensorSpec spec =
      placed({a.shape(), options.dtype.value_or(a.dtype()), Layout::TILE, {}}, a, options.memory_config);
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
  const auto units = [&] {
    return binary_units(exact, activation, spec.tile_columns(), {a.dtype(), b.dtype(), spec.dtype});
  };
  const auto stage = [&] {
    if (!is_exact(device)) return for_each_tile(spec, body);
    return exact_rows(output, units(), {{read_rows(a.view()), read_rows(b.view())}, write_rows(output.view())});
  };
  launch(device, {.name = name, .stages = {stage()}, .key = options_key({}, {static_cast<std::int64_t>(activation)})},
         {{"input_tensor_a", a}, {"input_tensor_b", b}}, {{"output", output}}, [&] {
           return OpDetails{{{"input_tensor_a_activation", std::string(to_string(activation))}},
                            {.vector_flops = (1 + flops_of(activation)) * a.shape().volume()},
                            shared(units())};
         });
  return output;
}

/// add where the rows of b repeat: they begin anywhere in a tile, so it goes row by row.
Tensor add_repeated(const Tensor& a, const Tensor& b, const BinaryOptions& options) {
  constexpr std::string_view kName = "add";
  require_tile(kName, "input_tensor_a", a);
  require_same_device(kName, {{"input_tensor_a", a}, {"input_tensor_b", b}});
  require_float(kName, options.dtype.value_or(a.dtype()));
  const std::int64_t width = a.shape()[-1];
  const TensorSpec spec =
      placed({a.shape(), options.dtype.value_or(a.dtype()), Layout::TILE, {}}, a, options.memory_config);
  Tensor output = Tensor::allocate(a.device(), spec, kName);
  const Activation activation = options.input_tensor_a_activation;
  const auto body = [a = a.view(), b = b.view(), out = output.view(), width, rows = b.shape()[-2], activation](
                        std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const x = runtime::thread_scratch(2 * round_up(width, kTileWidth));
    float* const y = x + round_up(width, kTileWidth);
    isa.load_row(a.tiles(chip, matrix), row, 0, width, x);
    isa.load_row(b.tiles(chip), row % rows, 0, width, y);
    apply(activation, width, x);
    isa.add(x, y, width, x);
    isa.store_row(out.tiles(chip, matrix), row, x, width);
  };
  const auto units = [&] {
    return binary_units(TileFunction::ADD, activation, spec.tile_columns(), {a.dtype(), b.dtype(), spec.dtype});
  };
  const auto stage = [&] {
    if (!is_exact(a.device())) return for_each_row(output, body);
    const auto read_repeated = [b = b.view(), rows = b.shape()[-2]](const ExactWork& work, std::int64_t tile,
                                                                    float* out) {
      for (std::int64_t row = 0; row < work.rows; ++row)
        kernels::kernels().load_row(b.tiles(work.chip), (work.row + row) % rows, tile * kTileWidth, kTileWidth,
                                    out + row * kTileWidth);
    };
    return exact_rows(output, units(), {{read_rows(a.view()), read_repeated}, write_rows(output.view())});
  };
  launch(a.device(),
         {.name = kName, .stages = {stage()}, .key = options_key({}, {static_cast<std::int64_t>(activation)})},
         {{"input_tensor_a", a}, {"input_tensor_b", b}}, {{"output", output}}, [&] {
           return OpDetails{{{"input_tensor_a_activation", std::string(to_string(activation))}},
                            {.vector_flops = (1 + flops_of(activation)) * a.shape().volume()},
                            shared(units())};
         });
  return output;
}

/// Whether b is one matrix of fewer rows than a has, that fill a without a rest.
bool repeats(const Tensor& a, const Tensor& b) {
  return a.defined() && b.defined() && a.shape() != b.shape() && a.shape().rank() >= 2 && b.shape().rank() >= 2 &&
         b.layout() == Layout::TILE && !is_integer(b.dtype()) && b.spec().num_matrices() == 1 &&
         b.shape()[-1] == a.shape()[-1] && b.shape()[-2] > 0 && a.shape()[-2] % b.shape()[-2] == 0;
}

} // namespace

Tensor add(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options) {
  if (repeats(input_tensor_a, input_tensor_b)) return add_repeated(input_tensor_a, input_tensor_b, options);
  return binary("add", &kernels::Kernels::add, TileFunction::ADD, input_tensor_a, input_tensor_b, options);
}

Tensor mul(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options) {
  return binary("mul", &kernels::Kernels::mul, TileFunction::MUL, input_tensor_a, input_tensor_b, options);
}

} // namespace tessera::ops
