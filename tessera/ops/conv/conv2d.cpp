#include "tessera/ops/conv/conv2d.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/conv/conv_units.hpp"
#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/matmul/panel.hpp"
#include "tessera/ops/matmul/row_blocks.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::string_view kName = "conv2d";
constexpr std::int64_t kCacheLine = 64;
// Units of a thread at least, so that the threads end together: few where units that share rows gather each for itself.
constexpr std::int64_t kGatheringUnits = 2;
constexpr std::int64_t kUnits = 4;
// Windows are gathered into the block: it should stay near.
constexpr RowsOfBlock kRowsOfBlock{.least = 96, .most = 256};

/// What the stages of one convolution know of it: a product of windows [rows, depth] and the weight [depth, O].
struct Plan {
  SlidingWindow window;
  Extent2d output;
  ConvChannels channels;
  bool fp32 = false;         ///< the arithmetic: matmul_tile_column, else matmul_bf16_tile_columns
  bool gathers = true;       ///< windows are gathered from pixels; else a pixel is a window
  std::int64_t element = 2;  ///< bytes of a value where the kernels read it
  std::int64_t pixel_bytes;  ///< from pixel to pixel of the packed input
  std::int64_t depth;        ///< K
  std::int64_t padded_depth; ///< in whole tiles
  std::int64_t window_bytes; ///< from window to window of a block
  std::int64_t rows;         ///< output pixels
  RowBlocks blocks;          ///< of them, one for a unit
  std::int64_t columns;      ///< of output tiles
  std::int64_t columns_of_unit;

  Plan(const Conv2dOptions& options, DataType input, DataType weight, int threads)
      : window(options.window()),
        output(window.output()),
        channels(options.in_channels, options.out_channels, options.groups),
        fp32(input == DataType::FLOAT32 || weight == DataType::FLOAT32 || weight == DataType::BFLOAT2_B),
        gathers(window.kernel_size != Extent2d{} || window.stride != Extent2d{} || window.padding != Extent2d{0, 0} ||
                channels.span() != channels.padded()),
        element(fp32 ? std::int64_t{sizeof(float)} : kernels::kernels().packed_bytes),
        depth(window.kernel_size.height * window.kernel_size.width * channels.span()),
        padded_depth(round_up(depth, kTileHeight)),
        // A cache line more than the values: rows a power of two apart would share their sets of the cache.
        window_bytes(padded_depth * element + kCacheLine),
        rows(window.output_rows()),
        blocks(RowBlocks(rows, window_bytes, kRowsOfBlock).shared_by(threads)),
        columns(div_up(options.out_channels, kTileWidth)) {
    pixel_bytes = gathers ? channels.padded() * element : window_bytes;
    const std::int64_t units = threads * (gathers ? kGatheringUnits : kUnits);
    columns_of_unit = div_up(columns, std::min(columns, div_up(units, blocks.count)));
  }

  std::int64_t column_units() const { return div_up(columns, columns_of_unit); }
  /// A unit packs its windows itself: no other needs them.
  bool packs_own() const { return !gathers && column_units() == 1; }
  /// A window's pixels in a row lie side by side as they do in the image.
  bool copies_runs() const { return channels.span() == channels.padded() && window.dilation.width == 1; }
};

/// A tile of the input, pixel by pixel.
void pack_tile(const Plan& plan, const kernels::ConstTiles& input, const TileAt& tile, std::byte* out) {
  const std::int64_t width = plan.gathers ? plan.channels.padded() : plan.padded_depth;
  const std::int64_t count = std::min(kTileWidth, width - tile.column * kTileWidth);
  if (!plan.fp32) {
    return kernels::kernels().pack_bf16_tile(input, tile.row, tile.column, tile.rows, count, out, plan.pixel_bytes);
  }
  alignas(kCacheLine) float values[kTileElements];
  load_tile_rows(input, tile.row, tile.column, tile.rows, values);
  for (std::int64_t row = 0; row < tile.rows; ++row, out += plan.pixel_bytes)
    std::memcpy(out, values + row * kTileWidth, static_cast<std::size_t>(count) * sizeof(float));
}

/// Fills the packed input: [N * H * W, channels].
runtime::Stage pack_pixels(const Tensor& input, const Plan& plan) {
  return for_each_tile(input.spec(), [in = input.view(), plan](const runtime::Unit& unit, const TileAt& tile) {
    pack_tile(plan, in.tiles(unit.chip), tile,
              unit.scratch + tile.row * kTileHeight * plan.pixel_bytes + tile.column * kTileWidth * plan.element);
  });
}

/// The same for the rows of one unit.
void pack_block(const Plan& plan, const kernels::ConstTiles& input, std::int64_t first, std::int64_t rows,
                std::byte* out) {
  for (std::int64_t row = 0; row < rows; row += kTileHeight) {
    for (std::int64_t column = 0; column < plan.padded_depth / kTileWidth; ++column) {
      pack_tile(plan, input,
                {.row = (first + row) / kTileHeight, .column = column, .rows = std::min(kTileHeight, rows - row)},
                out + row * plan.pixel_bytes + column * kTileWidth * plan.element);
    }
  }
}

/// Steps first .. last of a window that lie within 0 .. size, when step 0 is at `start`.
struct Inside {
  std::int64_t first;
  std::int64_t last;

  Inside(std::int64_t start, std::int64_t size, std::int64_t steps, std::int64_t dilation)
      : first(std::min(start < 0 ? div_up(-start, dilation) : 0, steps)),
        last(std::clamp(start >= size ? 0 : div_up(size - start, dilation), first, steps)) {}
};

/// Copies one window's values, channels from `channel` on, in the order of the weight's rows; zeros where it reaches
/// beyond the image.
void gather_window(const Plan& plan, const std::byte* pixels, const WindowPlace& place, std::int64_t channel,
                   std::byte* out) {
  const SlidingWindow& window = plan.window;
  const auto [image, top, left] = place;
  const std::int64_t span_bytes = plan.channels.span() * plan.element;
  const std::int64_t line_bytes = window.kernel_size.width * span_bytes;
  const auto copy = [](std::byte* to, const std::byte* from, std::int64_t bytes) {
    // A call for a few bytes costs more than the bytes.
    constexpr std::int64_t kFew = 128;
    constexpr std::int64_t kStep = 32;
    if (bytes > kFew || bytes % kStep != 0) {
      std::memcpy(to, from, static_cast<std::size_t>(bytes));
      return;
    }
    for (std::int64_t i = 0; i < bytes; i += kStep) std::memcpy(to + i, from + i, kStep);
  };
  const auto clear = [](std::byte* to, std::int64_t bytes) {
    if (bytes > 0) std::memset(to, 0, static_cast<std::size_t>(bytes));
  };
  const Inside columns(left, window.input_width, window.kernel_size.width, window.dilation.width);
  for (std::int64_t y = 0; y < window.kernel_size.height; ++y, out += line_bytes) {
    const std::int64_t row = top + y * window.dilation.height;
    if (row < 0 || row >= window.input_height || columns.first == columns.last) {
      clear(out, line_bytes);
      continue;
    }
    const std::byte* line =
        pixels + (image * window.input_height + row) * window.input_width * plan.pixel_bytes + channel * plan.element;
    const auto pixel = [&](std::int64_t x) { return line + (left + x * window.dilation.width) * plan.pixel_bytes; };
    clear(out, columns.first * span_bytes);
    if (plan.copies_runs()) {
      copy(out + columns.first * span_bytes, pixel(columns.first), (columns.last - columns.first) * span_bytes);
    } else {
      for (std::int64_t x = columns.first; x < columns.last; ++x) copy(out + x * span_bytes, pixel(x), span_bytes);
    }
    clear(out + columns.last * span_bytes, line_bytes - columns.last * span_bytes);
  }
  clear(out, (plan.padded_depth - plan.depth) * plan.element);
}

/// Tensors of the multiplication on the device.
struct Views {
  DeviceView input;
  DeviceView weight;
  DeviceView output;
  DeviceView bias;
  DeviceView residual;
  bool has_bias = false;
  bool has_residual = false;
  Activation activation = Activation::NONE;

  ProductEnd end(std::int64_t chip, std::int64_t tile_row) const {
    return {.tiles = output.tiles(chip),
            .tile_row = tile_row,
            .bias = has_bias ? bias.tiles(chip) : kernels::Tiles(),
            .residual = has_residual ? residual.tiles(chip) : kernels::Tiles(),
            .activation = activation};
  }
};

/// Blocks of windows times columns of weight tiles.
runtime::Stage multiply(const Plan& plan, const Views& views) {
  return {plan.blocks.count * plan.column_units(), [plan, views](const runtime::Unit& unit) {
            const kernels::Kernels& isa = kernels::kernels();
            // Units that share rows follow each other: their pixels are still near.
            const std::int64_t number = unit.index / plan.column_units();
            const std::int64_t first = plan.blocks.begin(number);
            const std::int64_t rows = plan.blocks.rows_of(number);
            const std::int64_t column = unit.index % plan.column_units() * plan.columns_of_unit;
            const std::int64_t end = std::min(column + plan.columns_of_unit, plan.columns);
            const bool in_block = plan.gathers || plan.packs_own();
            const std::int64_t block_floats = in_block ? rows * plan.window_bytes / std::int64_t{sizeof(float)} : 0;
            float* const sums = runtime::thread_scratch(rows * kTileWidth + block_floats);
            auto* const block = reinterpret_cast<std::byte*>(sums + rows * kTileWidth);
            const std::byte* windows = in_block ? block : unit.scratch + first * plan.pixel_bytes;
            if (plan.packs_own()) pack_block(plan, views.input.tiles(unit.chip), first, rows, block);
            const kernels::ConstTiles weight = views.weight.tiles(unit.chip);
            std::int64_t gathered = -1; // the channel that the block begins with
            for (std::int64_t c = column; c < end; ++c) {
              const std::int64_t channel = plan.channels.first(c);
              if (plan.gathers && channel != gathered) {
                WindowWalk walk(plan.window, first);
                for (std::int64_t row = 0; row < rows; ++row, walk.next())
                  gather_window(plan, unit.scratch, walk.place(), channel, block + row * plan.window_bytes);
                gathered = channel;
              }
              if (plan.fp32) {
                isa.matmul_tile_column(reinterpret_cast<const float*>(windows),
                                       plan.window_bytes / std::int64_t{sizeof(float)}, rows, plan.padded_depth, weight,
                                       c, sums);
              } else {
                isa.matmul_bf16_tile_columns(windows, plan.window_bytes, rows, plan.padded_depth, weight, c, 1, sums);
              }
              finish_column(views.end(unit.chip, first / kTileHeight), c, rows, sums);
            }
          }};
}

void check(const Tensor& input, const Tensor& weight, const Conv2dOptions& options) {
  require_tile(kName, "input_tensor", input);
  require_tile(kName, "weight_tensor", weight);
  require_float(kName, options.dtype);
  require_same_device(kName, {{"input_tensor", input},
                              {"weight_tensor", weight},
                              {"bias_tensor", options.bias_tensor},
                              {"residual", options.residual}});
  const SlidingWindow window = options.window();
  require_window(kName, window, false);
  const ConvChannels channels(options.in_channels, options.out_channels, options.groups);
  require_shape(kName, "input_tensor", input, {1, 1, window.input_rows(), options.in_channels});
  require_shape(kName, "weight_tensor", weight,
                {1, 1, window.kernel_size.height * window.kernel_size.width * channels.span(), options.out_channels});
  if (options.bias_tensor.defined()) {
    require_tile(kName, "bias_tensor", options.bias_tensor);
    require_shape(kName, "bias_tensor", options.bias_tensor, {1, 1, 1, options.out_channels});
  }
  if (options.residual.defined()) {
    require_tile(kName, "residual", options.residual);
    require_shape(kName, "residual", options.residual, {1, 1, window.output_rows(), options.out_channels});
  }
}

} // namespace

Tensor conv2d(const Tensor& input_tensor, const Tensor& weight_tensor, const Conv2dOptions& options) {
  check(input_tensor, weight_tensor, options);
  runtime::MeshDevice& device = input_tensor.device();
  const Plan plan(options, input_tensor.dtype(), weight_tensor.dtype(), device.queue().threads());
  const ComputeConfig compute = options.compute_kernel_config.value_or(default_compute_config(weight_tensor.dtype()));
  const TensorSpec spec = placed({{1, 1, plan.rows, options.out_channels}, options.dtype, Layout::TILE, {}},
                                 input_tensor, options.memory_config);
  Tensor output = Tensor::allocate(device, spec, kName);
  Views views{.input = input_tensor.view(),
              .weight = weight_tensor.view(),
              .output = output.view(),
              .has_bias = options.bias_tensor.defined(),
              .has_residual = options.residual.defined(),
              .activation = options.activation};
  if (views.has_bias) views.bias = options.bias_tensor.view();
  if (views.has_residual) views.residual = options.residual.view();
  const auto units = [&] { return conv_units(input_tensor, weight_tensor, options, compute); };
  const std::int64_t layout = options.shard_layout ? static_cast<std::int64_t>(*options.shard_layout) : -1;
  runtime::Program program{.name = kName,
                           .key = options_key(compute, {static_cast<std::int64_t>(options.activation), layout})};
  if (is_exact(device)) {
    program.stages = {conv_exactly(input_tensor, weight_tensor, options, output, units())};
  } else if (plan.packs_own()) {
    program.stages = {multiply(plan, views)};
  } else {
    program.stages = {pack_pixels(input_tensor, plan), multiply(plan, views)};
    program.scratch_bytes = plan.window.input_rows() * plan.pixel_bytes;
  }
  launch(device, std::move(program),
         {{"input_tensor", input_tensor},
          {"weight_tensor", weight_tensor},
          {"bias_tensor", options.bias_tensor},
          {"residual", options.residual}},
         {{"output", output}}, [&] {
           const Sharding sharding =
               choose_sharding(plan.window, input_tensor.spec(), spec, device.board(), options.shard_layout);
           OpDetails details{
               describe_window(plan.window, sharding),
               {.matmul_flops = 2 * plan.rows * options.out_channels * plan.window.kernel_size.height *
                                plan.window.kernel_size.width * plan.channels.of_group(),
                .fidelity = compute.math_fidelity,
                .vector_flops = (int{views.has_bias} + int{views.has_residual} + flops_of(options.activation)) *
                                spec.shape.volume()},
               shared(matmul_units(units()))};
           details.attributes.insert(details.attributes.end(),
                                     {{"in_channels", options.in_channels},
                                      {"out_channels", options.out_channels},
                                      {"groups", options.groups},
                                      {"activation", std::string(to_string(options.activation))},
                                      {"math_fidelity", std::string(to_string(compute.math_fidelity))},
                                      {"fp32_dest_acc_en", compute.fp32_dest_acc_en},
                                      {"packer_l1_acc", compute.packer_l1_acc}});
           return details;
         });
  return output;
}

} // namespace tessera::ops
