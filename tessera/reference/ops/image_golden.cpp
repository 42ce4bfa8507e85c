#include "tessera/reference/ops/golden_call.hpp"

// Pools and larger images: rows of pixels [1, 1, N H W, C].

namespace tessera::reference {
namespace {

/// [N, C, H, W]
at::Tensor images_of(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  return x.reshape({call.integer("batch_size"), call.integer("input_height"), call.integer("input_width"), x.size(-1)})
      .permute({0, 3, 1, 2});
}
GoldenOutputs as_rows(const GoldenCall& call, const at::Tensor& images) {
  return {golden_output(call.output(), images.permute({0, 2, 3, 1}))};
}

GoldenOutputs max_pool2d(const GoldenCall& call) {
  return as_rows(call, at::max_pool2d(images_of(call), call.extent("kernel_size"), call.extent("stride"),
                                      call.extent("padding"), call.extent("dilation"), call.flag("ceil_mode")));
}

GoldenOutputs avg_pool2d(const GoldenCall& call) {
  const std::int64_t divisor = call.integer("divisor_override");
  return as_rows(call, at::avg_pool2d(images_of(call).contiguous(), call.extent("kernel_size"), call.extent("stride"),
                                      call.extent("padding"), call.flag("ceil_mode"), call.flag("count_include_pad"),
                                      divisor == 0 ? c10::nullopt : c10::optional<std::int64_t>(divisor)));
}

GoldenOutputs global_avg_pool2d(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  return {golden_output(call.output(), x.reshape({call.integer("batch_size"), -1, x.size(-1)}).mean(1))};
}

GoldenOutputs upsample(const GoldenCall& call) {
  const at::Tensor images = images_of(call).contiguous();
  const auto scale = call.extent("scale_factor");
  const std::vector<std::int64_t> size{images.size(2) * scale[0], images.size(3) * scale[1]};
  return as_rows(call, call.text("mode") == "bilinear" ? at::upsample_bilinear2d(images, size, false)
                                                       : at::upsample_nearest2d(images, size));
}

constexpr GoldenEntry kEntries[] = {{"max_pool2d", max_pool2d},
                                    {"avg_pool2d", avg_pool2d},
                                    {"global_avg_pool2d", global_avg_pool2d},
                                    {"upsample", upsample}};

} // namespace

std::span<const GoldenEntry> image_goldens() {
  return kEntries;
}

} // namespace tessera::reference
