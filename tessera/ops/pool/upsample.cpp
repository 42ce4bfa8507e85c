#include "tessera/ops/pool/upsample.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// The two neighbours along one side whose mixture a place of the larger image shows, and the share of the second.
struct Neighbours {
  std::int64_t first;
  std::int64_t second;
  float share;

  Neighbours(std::int64_t place, std::int64_t scale, std::int64_t size, UpsampleMode mode)
      : first(place / scale), second(first), share(0) {
    if (mode == UpsampleMode::NEAREST) return;
    const float centre = std::max((static_cast<float>(place) + 0.5F) / static_cast<float>(scale) - 0.5F, 0.0F);
    first = static_cast<std::int64_t>(centre);
    second = std::min(first + 1, size - 1);
    share = centre - static_cast<float>(first);
  }
};

} // namespace

Tensor upsample(const Tensor& input_tensor, const UpsampleOptions& options) {
  constexpr std::string_view kName = "upsample";
  require_tile(kName, "input_tensor", input_tensor);
  require_float(kName, options.dtype.value_or(input_tensor.dtype()));
  base::require(
      options.batch_size > 0 && options.input_height > 0 && options.input_width > 0 &&
          options.scale_factor.height > 0 && options.scale_factor.width > 0,
      "[{}] batch_size, input_height, input_width and scale_factor must be 1 or more; received {}, {}, {} and "
      "{}x{}",
      kName, options.batch_size, options.input_height, options.input_width, options.scale_factor.height,
      options.scale_factor.width);
  const std::int64_t width = input_tensor.shape()[-1];
  const std::int64_t rows = options.batch_size * options.input_height * options.input_width;
  require_shape(kName, "input_tensor", input_tensor, {1, 1, rows, width});
  const TensorSpec spec{{1, 1, rows * options.scale_factor.height * options.scale_factor.width, width},
                        options.dtype.value_or(input_tensor.dtype()),
                        Layout::TILE,
                        options.memory_config.value_or(input_tensor.memory_config())};
  Tensor output = Tensor::allocate(input_tensor.device(), spec, kName);
  const auto body = [in = input_tensor.view(), out = output.view(), options, width](std::int64_t chip, std::int64_t,
                                                                                    std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t out_width = options.input_width * options.scale_factor.width;
    const std::int64_t out_height = options.input_height * options.scale_factor.height;
    const Neighbours down(row / out_width % out_height, options.scale_factor.height, options.input_height,
                          options.mode);
    const Neighbours across(row % out_width, options.scale_factor.width, options.input_width, options.mode);
    const std::int64_t image = row / (out_width * out_height) * options.input_height;
    float* const sum = runtime::thread_scratch(2 * round_up(width, kTileWidth));
    float* const pixel = sum + round_up(width, kTileWidth);
    std::fill_n(sum, width, 0.0F);
    const auto add = [&](std::int64_t y, std::int64_t x, float share) {
      if (share == 0.0F) return;
      isa.load_row(in.tiles(chip), (image + y) * options.input_width + x, 0, width, pixel);
      std::transform(pixel, pixel + width, sum, sum,
                     [share](float value, float so_far) { return so_far + share * value; });
    };
    add(down.first, across.first, (1.0F - down.share) * (1.0F - across.share));
    add(down.first, across.second, (1.0F - down.share) * across.share);
    add(down.second, across.first, down.share * (1.0F - across.share));
    add(down.second, across.second, down.share * across.share);
    isa.store_row(out.tiles(chip), row, sum, width);
  };
  launch(input_tensor.device(), {.name = kName, .stages = {for_each_row(output, body)}},
         {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
           const bool bilinear = options.mode == UpsampleMode::BILINEAR;
           return OpDetails{
               {{"batch_size", options.batch_size},
                {"input_height", options.input_height},
                {"input_width", options.input_width},
                {"scale_factor", fmt::format("{}x{}", options.scale_factor.height, options.scale_factor.width)},
                {"mode", std::string(bilinear ? "bilinear" : "nearest")}},
               {.vector_flops = bilinear ? 8 * spec.shape.volume() : 0}};
         });
  return output;
}

} // namespace tessera::ops
