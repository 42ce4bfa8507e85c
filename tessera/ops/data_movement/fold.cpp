#include "tessera/ops/data_movement/fold.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::string_view kName = "fold";

/// Images as one block of memory or the other holds them.
struct Images {
  DeviceView view;
  bool planes = false; ///< [N, C, H, W] in ROW_MAJOR, else rows of pixels in TILE
  std::int64_t count = 0;
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  Images(const Tensor& input, const FoldOptions& options) : planes(options.use_transpose_as_fold) {
    const Shape& shape = input.shape();
    count = planes ? shape[0] : options.batch_size;
    channels = planes ? shape[1] : shape[-1];
    height = planes ? shape[2] : options.input_height;
    width = planes ? shape[3] : options.input_width;
  }

  /// The channels of one pixel.
  void read(std::int64_t chip, std::int64_t image, std::int64_t y, std::int64_t x, float* out) const {
    if (!planes) {
      kernels::kernels().load_row(view.tiles(chip), (image * height + y) * width + x, 0, channels, out);
      return;
    }
    std::int64_t element = (image * channels * height + y) * width + x;
    for (std::int64_t c = 0; c < channels; ++c, element += height * width) {
      out[c] = view.dtype() == DataType::FLOAT32 ? view.elements<float>(chip)[element]
                                                 : numerics::from_bfloat16(view.elements<std::uint16_t>(chip)[element]);
    }
  }
};

void check(const Tensor& input, const FoldOptions& options) {
  base::require(options.stride.height > 0 && options.stride.width > 0 && options.padding.height >= 0 &&
                    options.padding.width >= 0,
                "[{}] a stride of 1 or more and a padding of 0 or more are required; received {}x{} and {}x{}", kName,
                options.stride.height, options.stride.width, options.padding.height, options.padding.width);
  if (options.use_transpose_as_fold) {
    base::require(input.defined() && input.layout() == Layout::ROW_MAJOR && input.shape().rank() == 4 &&
                      !is_integer(input.dtype()),
                  "[{}] input_tensor must be [N, C, H, W] in ROW_MAJOR, FLOAT32 or BFLOAT16; received {}", kName,
                  input.defined() ? to_string(input.spec()) : "none");
  } else {
    require_tile(kName, "input_tensor", input);
    require_shape(kName, "input_tensor", input,
                  {1, 1, options.batch_size * options.input_height * options.input_width, input.shape()[-1]});
  }
}

} // namespace

Tensor fold(const Tensor& input_tensor, const FoldOptions& options) {
  check(input_tensor, options);
  require_float(kName, options.dtype.value_or(input_tensor.dtype()));
  Images images(input_tensor, options);
  const std::int64_t padded_height = images.height + 2 * options.padding.height;
  const std::int64_t padded_width = images.width + 2 * options.padding.width;
  const Extent2d stride = options.stride;
  base::require(images.count > 0 && images.channels > 0 && images.height > 0 && images.width > 0 &&
                    padded_height % stride.height == 0 && padded_width % stride.width == 0,
                "[{}] the stride must divide the padded image; received {}x{} for {}x{}", kName, stride.height,
                stride.width, padded_height, padded_width);
  const Extent2d blocks{padded_height / stride.height, padded_width / stride.width};
  const TensorSpec spec{
      {1, 1, images.count * blocks.height * blocks.width, images.channels * stride.height * stride.width},
      options.dtype.value_or(input_tensor.dtype()),
      Layout::TILE,
      options.memory_config.value_or(input_tensor.memory_config())};
  Tensor output = Tensor::allocate(input_tensor.device(), spec, kName);
  images.view = input_tensor.view();
  const auto body = [images, out = output.view(), options, blocks, width = spec.shape[-1],
                     exact = is_exact(output.device())](std::int64_t chip, std::int64_t, std::int64_t row) {
    const std::int64_t image = row / (blocks.height * blocks.width);
    const std::int64_t top = row / blocks.width % blocks.height * options.stride.height - options.padding.height;
    const std::int64_t left = row % blocks.width * options.stride.width - options.padding.width;
    float* const values = runtime::thread_scratch(round_up(width, kTileWidth));
    float* pixel = values;
    for (std::int64_t y = top; y < top + options.stride.height; ++y) {
      for (std::int64_t x = left; x < left + options.stride.width; ++x, pixel += images.channels) {
        if (0 <= y && y < images.height && 0 <= x && x < images.width) {
          images.read(chip, image, y, x, pixel);
        } else {
          std::fill_n(pixel, images.channels, 0.0F);
        }
      }
    }
    if (exact) round_as_packed(images.view.dtype(), out.dtype(), width, values);
    kernels::kernels().store_row(out.tiles(chip), row, values, width);
  };
  launch(input_tensor.device(), {.name = kName, .stages = {for_each_row(output, body)}},
         {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
           return OpDetails{{{"batch_size", images.count},
                             {"input_height", images.height},
                             {"input_width", images.width},
                             {"stride_h", stride.height},
                             {"stride_w", stride.width},
                             {"padding", fmt::format("{}x{}", options.padding.height, options.padding.width)},
                             {"use_transpose_as_fold", options.use_transpose_as_fold}},
                            {},
                            movement(input_tensor.dtype(), spec.dtype, spec.tile_columns())};
         });
  return output;
}

} // namespace tessera::ops
