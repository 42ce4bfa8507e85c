#include "tessera/ops/normalization/layer_norm.hpp"

#include <algorithm>

#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/normalization/norm_rows.hpp"
#include "tessera/ops/normalization/norm_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

// Rows that one load of weight and bias serves.
constexpr std::int64_t kRowsOfUnit = 8;

} // namespace

Tensor layer_norm(const Tensor& input_tensor, const LayerNormOptions& options) {
  require_tile("layer_norm", "input_tensor", input_tensor);
  const NormParameters parameters{options.weight, options.bias};
  require_parameters("layer_norm", parameters, input_tensor);
  const Tensor output =
      norm_output("layer_norm", input_tensor, input_tensor.shape(), options.dtype, options.memory_config);
  const std::int64_t width = input_tensor.shape()[-1];
  const std::int64_t length = output.shape()[-2];
  const std::int64_t units = div_up(length, kRowsOfUnit);
  const auto normalize_rows = [in = input_tensor.view(), rows = ParameterRows(parameters), out = output.view(), width,
                               length, units, epsilon = options.epsilon](const runtime::Unit& unit) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t matrix = unit.index / units;
    const std::int64_t first = unit.index % units * kRowsOfUnit;
    const std::int64_t last = std::min(first + kRowsOfUnit, length);
    float* const x = runtime::thread_scratch(3 * width);
    const auto [gamma, beta] = rows.load(unit.chip, width, x + width);
    for (std::int64_t row = first; row < last; ++row) {
      isa.load_row(in.tiles(unit.chip, matrix), row, 0, width, x);
      const auto [mean, scale] = mean_and_scale(isa.moments(x, width), width, epsilon);
      isa.normalize(x, mean, scale, gamma, beta, width, x);
      isa.store_row(out.tiles(unit.chip, matrix), row, x, width);
    }
    if (last == length && length % kTileHeight != 0) isa.clear_rows(out.tiles(unit.chip, matrix), length);
  };
  const bool padded = width % kTileWidth != 0;
  const auto card_units = [&] {
    return layer_norm_units(input_tensor.spec().tile_columns(), padded, options.epsilon,
                            formats_of(input_tensor, parameters, output));
  };
  const auto stage = [&]() -> runtime::Stage {
    if (!is_exact(output.device())) return {output.spec().num_matrices() * units, normalize_rows};
    TileIo io{{read_rows(input_tensor.view()), read_constant(1.0F / static_cast<float>(width)),
               read_parameters(parameters.weight, 1.0F), read_parameters(parameters.bias, 0.0F)},
              write_rows(output.view())};
    if (padded) io.read.push_back(read_mask(width));
    return exact_rows(output, card_units(), std::move(io));
  };
  launch(output.device(), {.name = "layer_norm", .stages = {stage()}},
         {{"input_tensor", input_tensor}, {"weight", options.weight}, {"bias", options.bias}}, {{"output", output}},
         [&] {
           return OpDetails{{{"epsilon", double{options.epsilon}}},
                            {.vector_flops = 7 * input_tensor.shape().volume()},
                            shared(card_units())};
         });
  return output;
}

} // namespace tessera::ops
