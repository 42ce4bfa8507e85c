#include "tessera/ops/pool/pool2d.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/ops/pool/pool_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// out = the sum of a window's pixels; `pixel` has room for one.
void sum_window(const SlidingWindow& window, const kernels::ConstTiles& input, std::int64_t row, std::int64_t channels,
                float* pixel, float* out) {
  const auto [image, top, left] = window_place(window, row);
  std::fill_n(out, channels, 0.0F);
  for (std::int64_t y = 0; y < window.kernel_size.height; ++y) {
    const std::int64_t in_row = top + y * window.dilation.height;
    if (in_row < 0 || in_row >= window.input_height) continue;
    for (std::int64_t x = 0; x < window.kernel_size.width; ++x) {
      const std::int64_t in_column = left + x * window.dilation.width;
      if (in_column < 0 || in_column >= window.input_width) continue;
      kernels::kernels().load_row(input, (image * window.input_height + in_row) * window.input_width + in_column, 0,
                                  channels, pixel);
      kernels::kernels().add(out, pixel, channels, out);
    }
  }
}

/// Pixels of one line of an image, 32 channels of each, one behind the other.
struct LineOfPixels {
  std::int64_t first = 0; ///< column of the first one
  std::int64_t count = 0;
  float* values = nullptr; ///< [count, 32]
};

/// line = the larger of it and the same pixels of the image, the first of which is row `row` of the input; `fresh`:
/// those pixels. `memory` has room for the tiles that hold them.
void take_larger(const kernels::ConstTiles& input, std::int64_t row, std::int64_t tile_column, bool fresh,
                 const LineOfPixels& line, float* memory) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t first = row / kTileHeight;
  const std::int64_t last = (row + line.count - 1) / kTileHeight;
  for (std::int64_t tile = first; tile <= last; ++tile)
    isa.load_tile(input, tile, tile_column, memory + (tile - first) * kTileElements);
  const float* pixels = memory + row % kTileHeight * kTileWidth;
  if (fresh) {
    std::copy_n(pixels, line.count * kTileWidth, line.values);
  } else {
    isa.max(line.values, pixels, line.count * kTileWidth, line.values);
  }
}

/// A tile of max_pool2d's output: the largest along each column of the window first, of those along its rows then, so
/// that windows share what they have in common.
void max_of_tile(const SlidingWindow& window, const kernels::ConstTiles& input, const TileAt& tile,
                 const kernels::Tiles& output) {
  const kernels::Kernels& isa = kernels::kernels();
  const Extent2d& stride = window.stride;
  const std::int64_t reach = (window.kernel_size.width - 1) * window.dilation.width + 1;
  const std::int64_t most = std::min((kTileHeight - 1) * stride.width + reach, window.input_width);
  const std::int64_t tiles = most / kTileHeight + 2;
  float* const values = runtime::thread_scratch(kTileElements + most * kTileWidth + tiles * kTileElements);
  float* const memory = values + kTileElements + most * kTileWidth;
  std::fill_n(values, tile.rows * kTileWidth, -std::numeric_limits<float>::infinity());
  WindowWalk walk(window, tile.row * kTileHeight);
  for (std::int64_t row = 0; row < tile.rows;) {
    const std::int64_t run = std::min(tile.rows - row, walk.left_in_line());
    const auto [image, top, left] = walk.place();
    LineOfPixels line{.first = std::max<std::int64_t>(left, 0), .values = values + kTileElements};
    line.count = std::min(left + (run - 1) * stride.width + reach, window.input_width) - line.first;
    bool fresh = true;
    for (std::int64_t y = top; y < top + window.kernel_size.height * window.dilation.height;
         y += window.dilation.height) {
      if (y < 0 || y >= window.input_height || line.count <= 0) continue;
      take_larger(input, (image * window.input_height + y) * window.input_width + line.first, tile.column, fresh, line,
                  memory);
      fresh = false;
    }
    for (std::int64_t i = 0; i < run; ++i, ++row, walk.next()) {
      float* const out = values + row * kTileWidth;
      for (std::int64_t x = 0; x < window.kernel_size.width && !fresh; ++x) {
        const std::int64_t column = left + i * stride.width + x * window.dilation.width - line.first;
        if (0 <= column && column < line.count) isa.max(out, line.values + column * kTileWidth, kTileWidth, out);
      }
    }
  }
  isa.store_tile(output, tile.row, tile.column, tile.rows, values, kTileWidth);
}

/// The input's row that is pixel i of an output row's window, -1 outside the image.
std::int64_t pixel_of_window(const SlidingWindow& window, std::int64_t row, std::int64_t i) {
  const auto [image, top, left] = window_place(window, row);
  const std::int64_t y = top + i / window.kernel_size.width * window.dilation.height;
  const std::int64_t x = left + i % window.kernel_size.width * window.dilation.width;
  if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) return -1;
  return (image * window.input_height + y) * window.input_width + x;
}

/// What the sum of a window is divided by.
std::int64_t divisor(const Pool2dOptions& options, std::int64_t row) {
  if (options.divisor_override) return *options.divisor_override;
  const WindowPlace place = window_place(options.window(), row);
  const auto steps = [&](std::int64_t start, std::int64_t kernel, std::int64_t size, std::int64_t padding) {
    const std::int64_t before = options.count_include_pad ? -padding : 0;
    const std::int64_t after = options.count_include_pad ? size + padding : size;
    return std::min(start + kernel, after) - std::max(start, before);
  };
  return steps(place.row, options.kernel_size.height, options.input_height, options.padding.height) *
         steps(place.column, options.kernel_size.width, options.input_width, options.padding.width);
}

/// How an op writes its output, by rows or by tiles.
using MakeStage = std::function<runtime::Stage(const SlidingWindow& window, const Tensor& output)>;

/// scaler(row): what the card's units multiply a sum by; null: they take the maximum.
using Scaler = std::function<float(std::int64_t row)>;

Tensor pool(std::string_view name, const Tensor& input, const Pool2dOptions& options, Attributes attributes,
            const Scaler& scaler, const MakeStage& make_stage) {
  require_tile(name, "input_tensor", input);
  require_float(name, options.dtype.value_or(input.dtype()));
  const SlidingWindow window = options.window();
  require_window(name, window, true);
  require_shape(name, "input_tensor", input, {1, 1, window.input_rows(), options.channels});
  const TensorSpec spec =
      placed({{1, 1, window.output_rows(), options.channels}, options.dtype.value_or(input.dtype()), Layout::TILE, {}},
             input, options.memory_config);
  Tensor output = Tensor::allocate(input.device(), spec, name);
  const std::int64_t size = window.kernel_size.height * window.kernel_size.width;
  const PoolUnits units{.maximum = !scaler,
                        .window_tiles = div_up(size, kTileHeight),
                        .columns = spec.tile_columns(),
                        .input = input.dtype(),
                        .output = spec.dtype};
  const auto program = [&]() -> runtime::Program {
    if (!is_exact(input.device())) return {.name = name, .stages = {make_stage(window, output)}};
    const auto pixel = [window](std::int64_t row, std::int64_t i) { return pixel_of_window(window, row, i); };
    const auto one = [](std::int64_t) { return 1.0F; };
    return pool_exactly(name, input, output, units, {size, pixel, scaler ? scaler : one});
  };
  launch(input.device(), program(), {{"input_tensor", input}}, {{"output", output}}, [&] {
    OpDetails details{describe_window(window, choose_sharding(window, input.spec(), spec, input.device().board(),
                                                              options.shard_layout)),
                      {.vector_flops = size * spec.shape.volume()},
                      shared(pool_units(units))};
    details.attributes.emplace_back("channels", options.channels);
    details.attributes.emplace_back("ceil_mode", options.ceil_mode);
    details.attributes.insert(details.attributes.end(), attributes.begin(), attributes.end());
    return details;
  });
  return output;
}

} // namespace

Tensor max_pool2d(const Tensor& input_tensor, const Pool2dOptions& options) {
  return pool("max_pool2d", input_tensor, options, {}, nullptr, [&](const SlidingWindow& window, const Tensor& output) {
    return for_each_tile(output.spec(), [in = input_tensor.view(), out = output.view(), window](
                                            const runtime::Unit& unit, const TileAt& tile) {
      max_of_tile(window, in.tiles(unit.chip), tile, out.tiles(unit.chip));
    });
  });
}

Tensor avg_pool2d(const Tensor& input_tensor, const Pool2dOptions& options) {
  base::require(options.dilation == Extent2d{}, "[avg_pool2d] dilation must be 1x1; received {}x{}",
                options.dilation.height, options.dilation.width);
  base::require(options.divisor_override.value_or(1) != 0, "[avg_pool2d] divisor_override must not be 0");
  return pool(
      "avg_pool2d", input_tensor, options,
      {{"count_include_pad", options.count_include_pad}, {"divisor_override", options.divisor_override.value_or(0)}},
      [options](std::int64_t row) { return 1.0F / static_cast<float>(divisor(options, row)); },
      [&](const SlidingWindow& window, const Tensor& output) {
        return for_each_row(output, [in = input_tensor.view(), out = output.view(), window, options](
                                        std::int64_t chip, std::int64_t, std::int64_t row) {
          const std::int64_t room = round_up(options.channels, kTileWidth);
          float* const values = runtime::thread_scratch(2 * room);
          sum_window(window, in.tiles(chip), row, options.channels, values + room, values);
          const auto count = static_cast<float>(divisor(options, row));
          std::transform(values, values + options.channels, values, [count](float sum) { return sum / count; });
          kernels::kernels().store_row(out.tiles(chip), row, values, options.channels);
        });
      });
}

Tensor global_avg_pool2d(const Tensor& input_tensor, const GlobalAvgPool2dOptions& options) {
  constexpr std::string_view kName = "global_avg_pool2d";
  require_tile(kName, "input_tensor", input_tensor);
  require_float(kName, options.dtype.value_or(input_tensor.dtype()));
  const std::int64_t rows = input_tensor.shape()[-2];
  const std::int64_t images = options.batch_size;
  base::require(input_tensor.spec().num_matrices() == 1 && images > 0 && rows > 0 && rows % images == 0,
                "[{}] input_tensor [1, 1, N * H * W, C] of batch_size {} images is required; received {}", kName,
                images, input_tensor.shape());
  const std::int64_t width = input_tensor.shape()[-1];
  const TensorSpec spec =
      placed({{1, 1, images, width}, options.dtype.value_or(input_tensor.dtype()), Layout::TILE, {}}, input_tensor,
             options.memory_config);
  Tensor output = Tensor::allocate(input_tensor.device(), spec, kName);
  const auto body = [in = input_tensor.view(), out = output.view(), pixels = rows / images, width](
                        std::int64_t chip, std::int64_t, std::int64_t image) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const sum = runtime::thread_scratch(2 * round_up(width, kTileWidth));
    float* const pixel = sum + round_up(width, kTileWidth);
    std::fill_n(sum, width, 0.0F);
    for (std::int64_t i = 0; i < pixels; ++i) {
      isa.load_row(in.tiles(chip), image * pixels + i, 0, width, pixel);
      isa.add(sum, pixel, width, sum);
    }
    const auto count = static_cast<float>(pixels);
    std::transform(sum, sum + width, sum, [count](float value) { return value / count; });
    isa.store_row(out.tiles(chip), image, sum, width);
  };
  const std::int64_t size = rows / images;
  const PoolUnits units{.window_tiles = div_up(size, kTileHeight),
                        .columns = spec.tile_columns(),
                        .input = input_tensor.dtype(),
                        .output = spec.dtype};
  const auto program = [&]() -> runtime::Program {
    if (!is_exact(input_tensor.device())) return {.name = kName, .stages = {for_each_row(output, body)}};
    return pool_exactly(kName, input_tensor, output, units,
                        {size, [size](std::int64_t image, std::int64_t i) { return image * size + i; },
                         [size](std::int64_t) { return 1.0F / static_cast<float>(size); }});
  };
  launch(input_tensor.device(), program(), {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
    return OpDetails{
        {{"batch_size", images}}, {.vector_flops = input_tensor.shape().volume()}, shared(pool_units(units))};
  });
  return output;
}

} // namespace tessera::ops
