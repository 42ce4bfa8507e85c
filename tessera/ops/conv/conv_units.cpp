#include "tessera/ops/conv/conv_units.hpp"

#include <algorithm>

#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

ConvChannels channels_of(const Conv2dOptions& options) {
  return {options.in_channels, options.out_channels, options.groups};
}

/// 32 values of the windows of the work, in the order of the weight's rows.
TileIo::Reader read_windows(const Tensor& input, const Conv2dOptions& options) {
  return [in = input.view(), window = options.window(), channels = channels_of(options)](
             const ExactWork& work, std::int64_t tile, float* out) {
    const std::int64_t span = channels.span();
    const std::int64_t channel = channels.first(work.column);
    const std::int64_t depth = window.kernel_size.height * window.kernel_size.width * span;
    const std::int64_t end = std::min((tile + 1) * kTileWidth, depth);
    std::fill_n(out, work.rows * kTileWidth, 0.0F);
    for (std::int64_t i = 0; i < work.rows; ++i, out += kTileWidth) {
      const auto [image, top, left] = window_place(window, work.row + i);
      for (std::int64_t at = tile * kTileWidth, count = 0; at < end; at += count) {
        count = std::min(span - at % span, end - at); // of one pixel
        const std::int64_t pixel = at / span;
        const std::int64_t y = top + pixel / window.kernel_size.width * window.dilation.height;
        const std::int64_t x = left + pixel % window.kernel_size.width * window.dilation.width;
        if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) continue;
        kernels::kernels().load_row(in.tiles(work.chip), (image * window.input_height + y) * window.input_width + x,
                                    channel + at % span, count, out + at % kTileWidth);
      }
    }
  };
}

} // namespace

MatmulUnits conv_units(const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                       const ComputeConfig& compute) {
  const auto format = [](const Tensor& tensor) { return tensor.defined() ? tensor.dtype() : DataType::BFLOAT16; };
  const std::int64_t line = options.kernel_size.width * channels_of(options).span();
  const std::int64_t depth = weight.spec().tile_rows();
  return {.depth = depth,
          .block = line % kTileHeight == 0 ? line / kTileHeight : depth,
          .input = input.dtype(),
          .weight = weight.dtype(),
          .output = options.dtype,
          .has_bias = options.bias_tensor.defined(),
          .bias = format(options.bias_tensor),
          .has_residual = options.residual.defined(),
          .residual = format(options.residual),
          .activation = options.activation,
          .compute = compute};
}

runtime::Stage conv_exactly(const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                            const Tensor& output, const MatmulUnits& units) {
  TileIo io{{read_windows(input, options), read_column(weight.view())}, write_column(output.view())};
  if (units.has_bias) io.read.push_back(read_column(options.bias_tensor.view()));
  if (units.has_residual) {
    io.read.push_back([read = read_rows(options.residual.view())](const ExactWork& work, std::int64_t, float* out) {
      read(work, work.column, out);
    });
  }
  return exact_columns(output, matmul_units(units), std::move(io));
}

} // namespace tessera::ops
