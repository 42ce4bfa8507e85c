#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/reference/ops/golden_call.hpp"
#include "tessera/spec/tile.hpp"

// Products with weights, as their headers define them.

namespace tessera::reference {
namespace {

at::Tensor as_matrix(const at::Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

GoldenOutputs linear(const GoldenCall& call) {
  at::Tensor y = at::matmul(as_matrix(call.input("input_tensor_a")), as_matrix(call.input("weight")));
  if (call.has("bias")) y = y + as_matrix(call.input("bias"));
  return {golden_output(call.output(), activated(y, call.text("activation")))};
}

/// Rows of the output that no row is routed to mean nothing.
GoldenOutputs grouped_linear(const GoldenCall& call) {
  const at::Tensor x = as_matrix(call.input("input"));
  const std::vector<at::Tensor> weights = call.inputs("weight");
  const auto rows = call.integers("rows");
  const auto begins = call.integers("begins");
  const auto counts = call.integers("counts");
  const bool gathers = call.text("input_kind") == "GATHER";
  const std::int64_t places = call.output().shape[-2];
  base::require(
      begins.size() == weights.size() && counts.size() == weights.size() && std::ssize(rows) == places,
      "[golden] a first place and a count for each of {} experts and a row for each of {} places are required; "
      "received {}, {} and {}",
      weights.size(), places, begins.size(), counts.size(), rows.size());
  at::Tensor y = at::zeros({places, call.output().shape[-1]}, at::kDouble);
  std::vector<std::uint8_t> routed(static_cast<std::size_t>(places), 0);
  for (std::size_t expert = 0; expert < weights.size(); ++expert) {
    const std::int64_t begin = begins[expert];
    const std::int64_t count = counts[expert];
    base::require(0 <= begin && 0 <= count && begin + count <= places,
                  "[golden] an expert's rows must be within the {} places; received {} from {} on", places, count,
                  begin);
    for (std::int64_t place = begin; place < begin + count; ++place) {
      const std::int64_t row = gathers ? rows[static_cast<std::size_t>(place)] : place;
      base::require(0 <= row && row < x.size(0), "[golden] the row of a place must be in 0..{}; received {}",
                    x.size(0) - 1, row);
      y.select(0, place).copy_(at::matmul(x.select(0, row), as_matrix(weights[expert])));
      routed[static_cast<std::size_t>(place)] = 1;
    }
  }
  GoldenOutput output = golden_output(call.output(), activated(y, call.text("activation")));
  output.counts = std::move(routed);
  return {std::move(output)};
}

/// The weight [O, C / groups, kh, kw] that conv2d's prepared matrix [K, O] holds: K is (kh, kw, channel) over the
/// channels that 32 neighbouring outputs read, from an even one on.
at::Tensor conv_weight(const GoldenCall& call, const at::Tensor& prepared, std::int64_t height, std::int64_t width) {
  const std::int64_t groups = call.integer("groups");
  const std::int64_t inputs = call.integer("in_channels");
  const std::int64_t outputs = call.integer("out_channels");
  const std::int64_t of_group = inputs / groups;
  const std::int64_t span = prepared.size(0) / (height * width);
  const auto group_begin = [&](std::int64_t output) { return output / (outputs / groups) * of_group; };
  at::Tensor weight = at::empty({outputs, of_group, height, width}, at::kDouble);
  const at::Tensor taps = prepared.reshape({height, width, span, outputs});
  for (std::int64_t output = 0; output < outputs; ++output) {
    const std::int64_t even = group_begin(output / kTileWidth * kTileWidth) / 2 * 2;
    const std::int64_t shift = group_begin(output) - std::min(even, inputs + inputs % 2 - span);
    weight.select(0, output).copy_(taps.select(3, output).narrow(2, shift, of_group).permute({2, 0, 1}));
  }
  return weight;
}

GoldenOutputs conv2d(const GoldenCall& call) {
  const auto kernel = call.extent("kernel_size");
  const at::Tensor weight = conv_weight(call, as_matrix(call.input("weight_tensor")), kernel[0], kernel[1]);
  const at::Tensor images = call.input("input_tensor")
                                .reshape({call.integer("batch_size"), call.integer("input_height"),
                                          call.integer("input_width"), call.integer("in_channels")})
                                .permute({0, 3, 1, 2});
  at::Tensor y = at::conv2d(images, weight, {}, call.extent("stride"), call.extent("padding"), call.extent("dilation"),
                            call.integer("groups"));
  y = as_matrix(y.permute({0, 2, 3, 1}));
  if (call.has("bias_tensor")) y = y + as_matrix(call.input("bias_tensor"));
  if (call.has("residual")) y = y + as_matrix(call.input("residual"));
  return {golden_output(call.output(), activated(y, call.text("activation")))};
}

constexpr GoldenEntry kEntries[] = {{"linear", linear}, {"grouped_linear", grouped_linear}, {"conv2d", conv2d}};

} // namespace

std::span<const GoldenEntry> matmul_goldens() {
  return kEntries;
}

} // namespace tessera::reference
