#include "tessera/ops/sliding_window.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Places of a window of `reach` pixels along one side of `size` pixels. A place that `ceil_mode` adds begins within
/// the image or the padding before it, as in PyTorch.
std::int64_t places(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                    std::int64_t dilation, bool ceil_mode) {
  const std::int64_t room = size + 2 * padding - (dilation * (kernel - 1) + 1);
  if (room < 0) return 0;
  if (!ceil_mode) return room / stride + 1;
  const std::int64_t count = div_up(room, stride) + 1;
  return (count - 1) * stride >= size + padding ? count - 1 : count;
}

/// The input pixels first .. last that the output pixels first .. last read, in the order of rows.
struct PixelRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};
PixelRange pixels_read(const SlidingWindow& window, const PixelRange& outputs) {
  const auto pixel = [&window](const WindowPlace& place, std::int64_t below, std::int64_t right) {
    const std::int64_t row = std::clamp<std::int64_t>(place.row + below, 0, window.input_height - 1);
    const std::int64_t column = std::clamp<std::int64_t>(place.column + right, 0, window.input_width - 1);
    return (place.image * window.input_height + row) * window.input_width + column;
  };
  return {pixel(window_place(window, outputs.first), 0, 0),
          pixel(window_place(window, outputs.last - 1), (window.kernel_size.height - 1) * window.dilation.height,
                (window.kernel_size.width - 1) * window.dilation.width) +
              1};
}

std::int64_t halo_bytes(const SlidingWindow& window, const TensorSpec& input, std::int64_t cores_down,
                        std::int64_t shard_height) {
  const std::int64_t rows = window.output_rows();
  const std::int64_t own = div_up(window.input_rows(), cores_down);
  std::int64_t pixels = 0;
  for (std::int64_t core = 0; core < cores_down && core * shard_height < rows; ++core) {
    const PixelRange read = pixels_read(window, {core * shard_height, std::min((core + 1) * shard_height, rows)});
    const std::int64_t kept = std::min(read.last, (core + 1) * own) - std::max(read.first, core * own);
    pixels += read.last - read.first - std::max<std::int64_t>(kept, 0);
  }
  // A pixel is a row of tiles of which 32 share the tile's bytes.
  return pixels * input.tile_columns() * tile_bytes(input.dtype) / kTileHeight;
}

} // namespace

Extent2d SlidingWindow::output() const {
  return {places(input_height, kernel_size.height, stride.height, padding.height, dilation.height, ceil_mode),
          places(input_width, kernel_size.width, stride.width, padding.width, dilation.width, ceil_mode)};
}

std::int64_t SlidingWindow::output_rows() const {
  const Extent2d extent = output();
  return batch_size * extent.height * extent.width;
}

WindowPlace window_place(const SlidingWindow& window, std::int64_t output_row) {
  const Extent2d extent = window.output();
  const std::int64_t pixel = output_row % (extent.height * extent.width);
  return {output_row / (extent.height * extent.width),
          pixel / extent.width * window.stride.height - window.padding.height,
          pixel % extent.width * window.stride.width - window.padding.width};
}

void require_window(std::string_view op, const SlidingWindow& window, bool half_padding) {
  const auto positive = [](const Extent2d& extent) { return extent.height > 0 && extent.width > 0; };
  base::require(window.batch_size > 0 && window.input_height > 0 && window.input_width > 0,
                "[{}] batch_size, input_height and input_width must be 1 or more; received {}, {} and {}", op,
                window.batch_size, window.input_height, window.input_width);
  base::require(positive(window.kernel_size) && positive(window.stride) && positive(window.dilation),
                "[{}] kernel_size, stride and dilation must be 1 or more; received {}x{}, {}x{} and {}x{}", op,
                window.kernel_size.height, window.kernel_size.width, window.stride.height, window.stride.width,
                window.dilation.height, window.dilation.width);
  base::require(window.padding.height >= 0 && window.padding.width >= 0,
                "[{}] padding must be 0 or more; received {}x{}", op, window.padding.height, window.padding.width);
  base::require(!half_padding || (2 * window.padding.height <= window.kernel_size.height &&
                                  2 * window.padding.width <= window.kernel_size.width),
                "[{}] padding must be half of kernel_size at most; received {}x{} for {}x{}", op, window.padding.height,
                window.padding.width, window.kernel_size.height, window.kernel_size.width);
  base::require(window.output_rows() > 0,
                "[{}] the window must fit the padded image; received {}x{} with dilation {}x{} for {}x{} with padding "
                "{}x{}",
                op, window.kernel_size.height, window.kernel_size.width, window.dilation.height, window.dilation.width,
                window.input_height, window.input_width, window.padding.height, window.padding.width);
}

Sharding choose_sharding(const SlidingWindow& window, const TensorSpec& input, const TensorSpec& output,
                         const BoardSpec& board, std::optional<TensorMemoryLayout> layout) {
  const std::int64_t down = output.tile_rows();
  const std::int64_t across = output.tile_columns();
  const auto cut = [&](TensorMemoryLayout kind, std::int64_t rows_of_cores, std::int64_t columns_of_cores) {
    const std::int64_t height = div_up(down, std::min(down, rows_of_cores));
    const std::int64_t width = div_up(across, std::min(across, columns_of_cores));
    return Sharding{.layout = kind,
                    .cores_down = div_up(down, height),
                    .cores_across = div_up(across, width),
                    .shard_height = height * kTileHeight,
                    .shard_width = width * kTileWidth};
  };
  const ArchSpec& arch = board.arch;
  const Sharding height = cut(TensorMemoryLayout::HEIGHT_SHARDED, arch.worker_cores(), 1);
  const Sharding block = cut(TensorMemoryLayout::BLOCK_SHARDED, arch.worker_rows, arch.worker_columns);
  const Sharding width = cut(TensorMemoryLayout::WIDTH_SHARDED, 1, arch.worker_cores());
  const auto cores = [](const Sharding& sharding) { return sharding.cores_down * sharding.cores_across; };
  Sharding best = height;
  for (const Sharding& other : {block, width}) {
    if (layout ? other.layout == *layout : cores(other) > cores(best)) best = other;
  }
  best.halo_bytes = halo_bytes(window, input, best.cores_down, best.shard_height);
  return best;
}

Attributes describe_window(const SlidingWindow& window, const Sharding& sharding) {
  const auto pair = [](const Extent2d& extent) { return fmt::format("{}x{}", extent.height, extent.width); };
  return {{"batch_size", window.batch_size},       {"input_height", window.input_height},
          {"input_width", window.input_width},     {"kernel_size", pair(window.kernel_size)},
          {"stride", pair(window.stride)},         {"padding", pair(window.padding)},
          {"dilation", pair(window.dilation)},     {"shard_layout", std::string(to_string(sharding.layout))},
          {"num_cores_nhw", sharding.cores_down},  {"num_cores_c", sharding.cores_across},
          {"shard_height", sharding.shard_height}, {"shard_width", sharding.shard_width},
          {"halo_bytes", sharding.halo_bytes}};
}

} // namespace tessera::ops
