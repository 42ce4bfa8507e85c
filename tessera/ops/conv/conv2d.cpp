#include "tessera/ops/conv/conv2d.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/matmul/matmul_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::string_view kName = "conv2d";
constexpr std::int64_t kCacheLine = 64;
// Windows of one unit, side by side: they stay in a level 2 cache of 1 MiB while columns of weights pass by.
constexpr std::int64_t kBlockBytes = 640 << 10;
// Fewer rows do not outweigh decoding the weights, more gain nothing by it.
constexpr std::int64_t kLeastRows = 96;
constexpr std::int64_t kMostRows = 256;
// Units of a convolution at least: so that the threads end together.
constexpr std::int64_t kLeastUnits = 8;

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
  std::int64_t columns;      ///< of output tiles
  std::int64_t rows_of_unit; ///< whole tiles
  std::int64_t columns_of_unit;

  Plan(const Conv2dOptions& options, DataType input, DataType weight)
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
        columns(div_up(options.out_channels, kTileWidth)) {
    pixel_bytes = gathers ? channels.padded() * element : window_bytes;
    const std::int64_t most = std::clamp(kBlockBytes / window_bytes, kLeastRows, kMostRows) / kTileHeight * kTileHeight;
    const std::int64_t row_units = div_up(rows, most);
    rows_of_unit = round_up(div_up(rows, row_units), kTileHeight);
    columns_of_unit = div_up(columns, std::min(columns, div_up(kLeastUnits, row_units)));
  }

  std::int64_t row_units() const { return div_up(rows, rows_of_unit); }
  std::int64_t column_units() const { return div_up(columns, columns_of_unit); }
  /// A window's pixels in a row lie side by side as they do in the image.
  bool copies_runs() const { return channels.span() == channels.padded() && window.dilation.width == 1; }
};

/// Fills the packed input: [N * H * W, channels], pixel by pixel.
runtime::Stage pack_pixels(const Tensor& input, const Plan& plan) {
  const std::int64_t width = plan.gathers ? plan.channels.padded() : plan.padded_depth;
  return for_each_tile(input.spec(), [in = input.view(), plan, width](const runtime::Unit& unit, const TileAt& tile) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const values = runtime::thread_scratch(kTileElements);
    load_tile_rows(in.tiles(unit.chip), tile.row, tile.column, tile.rows, values);
    const std::int64_t count = std::min(kTileWidth, width - tile.column * kTileWidth);
    std::byte* out = unit.scratch + tile.row * kTileHeight * plan.pixel_bytes + tile.column * kTileWidth * plan.element;
    for (std::int64_t row = 0; row < tile.rows; ++row, out += plan.pixel_bytes) {
      if (plan.fp32) {
        std::memcpy(out, values + row * kTileWidth, static_cast<std::size_t>(count) * sizeof(float));
      } else {
        isa.pack_bf16(values + row * kTileWidth, count, out);
      }
    }
  });
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
void gather_window(const Plan& plan, const std::byte* pixels, std::int64_t output_row, std::int64_t channel,
                   std::byte* out) {
  const SlidingWindow& window = plan.window;
  const auto [image, top, left] = window_place(window, output_row);
  const std::int64_t span_bytes = plan.channels.span() * plan.element;
  const std::int64_t line_bytes = window.kernel_size.width * span_bytes;
  const auto copy = [&](std::byte* to, const std::byte* from, std::int64_t bytes) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  };
  const auto clear = [](std::byte* to, std::int64_t bytes) { std::memset(to, 0, static_cast<std::size_t>(bytes)); };
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

/// What follows the product of a column of tiles.
struct Epilogue {
  DeviceView bias;
  DeviceView residual;
  DeviceView output;
  bool has_bias = false;
  bool has_residual = false;
  Activation activation = Activation::NONE;

  /// Rounds and stores `sums` [rows, 32] from output row `first` on; uses two tiles of `memory`.
  void store(std::int64_t chip, std::int64_t first, std::int64_t rows, std::int64_t column, float* sums,
             float* memory) const {
    const kernels::Kernels& isa = kernels::kernels();
    float* const bias_tile = memory;
    float* const other = memory + kTileElements;
    if (has_bias) {
      isa.load_row(bias.tiles(chip), 0, column * kTileWidth, kTileWidth, bias_tile);
      for (std::int64_t row = 1; row < std::min(rows, kTileHeight); ++row)
        std::copy_n(bias_tile, kTileWidth, bias_tile + row * kTileWidth);
    }
    for (std::int64_t row = 0; row < rows; row += kTileHeight, sums += kTileElements) {
      const std::int64_t tile_row = (first + row) / kTileHeight;
      const std::int64_t height = std::min(kTileHeight, rows - row);
      const std::int64_t count = height * kTileWidth;
      if (has_bias) isa.add(sums, bias_tile, count, sums);
      if (has_residual) {
        load_tile_rows(residual.tiles(chip), tile_row, column, height, other);
        isa.add(sums, other, count, sums);
      }
      apply(activation, count, sums);
      isa.store_tile(output.tiles(chip), tile_row, column, height, sums, kTileWidth);
    }
  }
};

/// Blocks of windows times columns of weight tiles.
runtime::Stage multiply(const Tensor& weight, const Plan& plan, const Epilogue& epilogue) {
  return {plan.row_units() * plan.column_units(), [w = weight.view(), plan, epilogue](const runtime::Unit& unit) {
            const kernels::Kernels& isa = kernels::kernels();
            // Units that share rows follow each other: their pixels are still near.
            const std::int64_t first = unit.index / plan.column_units() * plan.rows_of_unit;
            const std::int64_t rows = std::min(plan.rows_of_unit, plan.rows - first);
            const std::int64_t column = unit.index % plan.column_units() * plan.columns_of_unit;
            const std::int64_t end = std::min(column + plan.columns_of_unit, plan.columns);
            const std::int64_t block_floats = plan.gathers ? rows * plan.window_bytes / std::int64_t{sizeof(float)} : 0;
            float* const sums = runtime::thread_scratch(rows * kTileWidth + 2 * kTileElements + block_floats);
            float* const memory = sums + rows * kTileWidth;
            auto* const block = reinterpret_cast<std::byte*>(memory + 2 * kTileElements);
            const std::byte* windows = plan.gathers ? block : unit.scratch + first * plan.pixel_bytes;
            std::int64_t gathered = -1; // the channel that the block begins with
            for (std::int64_t c = column; c < end; ++c) {
              const std::int64_t channel = plan.channels.first(c);
              if (plan.gathers && channel != gathered) {
                for (std::int64_t row = 0; row < rows; ++row)
                  gather_window(plan, unit.scratch, first + row, channel, block + row * plan.window_bytes);
                gathered = channel;
              }
              if (plan.fp32) {
                isa.matmul_tile_column(reinterpret_cast<const float*>(windows),
                                       plan.window_bytes / std::int64_t{sizeof(float)}, rows, plan.padded_depth,
                                       w.tiles(unit.chip), c, sums);
              } else {
                isa.matmul_bf16_tile_columns(windows, plan.window_bytes, rows, plan.padded_depth, w.tiles(unit.chip), c,
                                             1, sums);
              }
              epilogue.store(unit.chip, first, rows, c, sums, memory);
            }
          }};
}

/// Blocks of the depth are rows of the window, where these are whole tiles.
MatmulUnits units_of(const Plan& plan, const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                     const ComputeConfig& compute) {
  const std::int64_t line = plan.window.kernel_size.width * plan.channels.span();
  const auto format = [](const Tensor& tensor) { return tensor.defined() ? tensor.dtype() : DataType::BFLOAT16; };
  const std::int64_t depth = plan.padded_depth / kTileHeight;
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

/// 32 values of the windows of the work, in the order of the weight's rows.
TileIo::Reader read_windows(const Tensor& input, const Plan& plan) {
  return [in = input.view(), plan](const ExactWork& work, std::int64_t tile, float* out) {
    const SlidingWindow& window = plan.window;
    const std::int64_t span = plan.channels.span();
    const std::int64_t channel = plan.channels.first(work.column);
    const std::int64_t end = std::min((tile + 1) * kTileWidth, plan.depth);
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

runtime::Stage multiply_exactly(const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                                const Tensor& output, const Plan& plan, const MatmulUnits& units) {
  TileIo io{{read_windows(input, plan), read_column(weight.view())}, write_column(output.view())};
  if (units.has_bias) io.read.push_back(read_column(options.bias_tensor.view()));
  if (units.has_residual) {
    io.read.push_back([read = read_rows(options.residual.view())](const ExactWork& work, std::int64_t, float* out) {
      read(work, work.column, out);
    });
  }
  return exact_columns(output, matmul_units(units), std::move(io));
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
  const Plan plan(options, input_tensor.dtype(), weight_tensor.dtype());
  const ComputeConfig compute = options.compute_kernel_config.value_or(default_compute_config(weight_tensor.dtype()));
  const TensorSpec spec{{1, 1, plan.rows, options.out_channels},
                        options.dtype,
                        Layout::TILE,
                        options.memory_config.value_or(input_tensor.memory_config())};
  Tensor output = Tensor::allocate(device, spec, kName);
  Epilogue epilogue{.output = output.view(),
                    .has_bias = options.bias_tensor.defined(),
                    .has_residual = options.residual.defined(),
                    .activation = options.activation};
  if (epilogue.has_bias) epilogue.bias = options.bias_tensor.view();
  if (epilogue.has_residual) epilogue.residual = options.residual.view();

  const auto units = [&] { return units_of(plan, input_tensor, weight_tensor, options, compute); };
  runtime::Program program{.name = kName};
  if (is_exact(device)) {
    program.stages = {multiply_exactly(input_tensor, weight_tensor, options, output, plan, units())};
  } else {
    program.stages = {pack_pixels(input_tensor, plan), multiply(weight_tensor, plan, epilogue)};
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
                .vector_flops = (int{epilogue.has_bias} + int{epilogue.has_residual} + flops_of(options.activation)) *
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
