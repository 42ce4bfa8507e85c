#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Two extents of an image, or of steps over it.
struct Extent2d {
  std::int64_t height = 1;
  std::int64_t width = 1;

  friend bool operator==(const Extent2d&, const Extent2d&) = default;
};

/// A window that moves over images whose pixels are the rows of a matrix, [1, 1, N * H * W, C]: what convolutions and
/// pools have in common (TT-NN's SlidingWindowConfig). Pixels beyond the border count as padding.
struct SlidingWindow {
  std::int64_t batch_size = 1;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  Extent2d kernel_size;
  Extent2d stride;
  Extent2d padding{0, 0};
  Extent2d dilation;
  /// The last window of a row or column may begin inside and reach beyond the padding.
  bool ceil_mode = false;

  std::int64_t input_rows() const { return batch_size * input_height * input_width; }
  Extent2d output() const;
  std::int64_t output_rows() const;
};

/// Where the window of an output pixel begins: the image and the upper left pixel, which may lie outside.
struct WindowPlace {
  std::int64_t image = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;
};
WindowPlace window_place(const SlidingWindow& window, std::int64_t output_row);

/// The places of successive output pixels: without the divisions that each by itself takes.
class WindowWalk {
 public:
  WindowWalk(const SlidingWindow& window, std::int64_t output_row)
      : output_(window.output()),
        stride_(window.stride),
        padding_(window.padding),
        place_(window_place(window, output_row)) {}

  const WindowPlace& place() const { return place_; }
  /// Output pixels from here to the end of the line.
  std::int64_t left_in_line() const { return output_.width - (place_.column + padding_.width) / stride_.width; }
  void next() {
    place_.column += stride_.width;
    if (place_.column + padding_.width < output_.width * stride_.width) return;
    place_.column = -padding_.width;
    place_.row += stride_.height;
    if (place_.row + padding_.height < output_.height * stride_.height) return;
    place_.row = -padding_.height;
    ++place_.image;
  }

 private:
  Extent2d output_;
  Extent2d stride_;
  Extent2d padding_;
  WindowPlace place_;
};

/// Throws InvalidArgument for extents that are not positive, a window that does not fit the padded image, and padding
/// of half the window or more where `half_padding` says so, as in pools.
void require_window(std::string_view op, const SlidingWindow& window, bool half_padding);

/// How a card shares out the rows (pixels) and columns (channels) of an output over its cores, and what the cores fetch
/// from each other before they begin.
struct Sharding {
  TensorMemoryLayout layout = TensorMemoryLayout::HEIGHT_SHARDED;
  std::int64_t cores_down = 1;   ///< shards of rows
  std::int64_t cores_across = 1; ///< shards of channels
  std::int64_t shard_height = 0; ///< pixels, whole tiles
  std::int64_t shard_width = 0;  ///< channels, whole tiles
  /// Bytes of input pixels that all cores together need beside those of their own shards.
  std::int64_t halo_bytes = 0;
};
/// `layout`: the one asked for; none: the one that keeps most cores busy, height before block before width. Whole tiles
/// to a core, as many cores as there are tiles at most. The input is cut into as many parts as the output.
Sharding choose_sharding(const SlidingWindow& window, const TensorSpec& input, const TensorSpec& output,
                         const BoardSpec& board, std::optional<TensorMemoryLayout> layout);
/// What records say of it and of the window.
Attributes describe_window(const SlidingWindow& window, const Sharding& sharding);

} // namespace tessera::ops
