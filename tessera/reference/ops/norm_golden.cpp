#include "tessera/reference/ops/golden_call.hpp"
#include "tessera/spec/tile.hpp"

// Norms over the last dimension: RMSNorm (Zhang and Sennrich 2019), layer norm (Ba et al. 2016), and both in the steps
// that chips with parts of a row take.

namespace tessera::reference {
namespace {

at::Tensor with_parameters(const GoldenCall& call, at::Tensor x) {
  if (call.has("weight")) x = x * call.input("weight");
  if (call.has("bias")) x = x + call.input("bias");
  return x;
}

GoldenOutputs rms_norm(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  const at::Tensor scale = at::rsqrt(x.square().mean(-1, true) + call.number("epsilon"));
  return {golden_output(call.output(), with_parameters(call, x * scale))};
}

GoldenOutputs layer_norm(const GoldenCall& call) {
  at::Tensor x = call.input("input_tensor");
  x = x - x.mean(-1, true);
  const at::Tensor scale = at::rsqrt(x.square().mean(-1, true) + call.number("epsilon"));
  return {golden_output(call.output(), with_parameters(call, x * scale))};
}

/// A sum in a tile of its own: the nearest fp32 value, then what that leaves, then zeros.
at::Tensor sum_tile(const at::Tensor& sum) {
  const at::Tensor first = sum.to(at::kFloat).to(at::kDouble);
  std::vector<std::int64_t> sizes = sum.sizes().vec();
  sizes.back() = kTileWidth - 2;
  return at::cat({first, sum - first, at::zeros(sizes, at::kDouble)}, -1);
}

GoldenOutputs rms_norm_pre(const GoldenCall& call) {
  return {golden_output(call.output(), sum_tile(call.input("input_tensor").square().sum(-1, true)))};
}

GoldenOutputs layer_norm_pre(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  return {golden_output(call.output(), at::cat({sum_tile(x.square().sum(-1, true)), sum_tile(x.sum(-1, true))}, -1))};
}

/// The mean over the whole row of what stands in tile `number` of each part's `tiles`.
at::Tensor whole_mean(const GoldenCall& call, std::int64_t number, std::int64_t tiles) {
  const at::Tensor stats = call.input("stats");
  std::vector<std::int64_t> sizes = stats.sizes().vec();
  sizes.back() = sizes.back() / (tiles * kTileWidth);
  sizes.insert(sizes.end(), {tiles, kTileWidth});
  const at::Tensor sums = stats.reshape(sizes).select(-2, number).narrow(-1, 0, 2).sum({-2, -1});
  return sums.unsqueeze(-1) / static_cast<double>(call.integer("width"));
}

GoldenOutputs rms_norm_post(const GoldenCall& call) {
  const at::Tensor scale = at::rsqrt(whole_mean(call, 0, 1) + call.number("epsilon"));
  return {golden_output(call.output(), with_parameters(call, call.input("input_tensor") * scale))};
}

GoldenOutputs layer_norm_post(const GoldenCall& call) {
  const at::Tensor mean = whole_mean(call, 1, 2);
  const at::Tensor variance = at::clamp_min(whole_mean(call, 0, 2) - mean.square(), 0.0);
  const at::Tensor x = (call.input("input_tensor") - mean) * at::rsqrt(variance + call.number("epsilon"));
  return {golden_output(call.output(), with_parameters(call, x))};
}

constexpr GoldenEntry kEntries[] = {{"rms_norm", rms_norm},
                                    {"layer_norm", layer_norm},
                                    {"rms_norm_pre_all_gather", rms_norm_pre},
                                    {"layer_norm_pre_all_gather", layer_norm_pre},
                                    {"rms_norm_post_all_gather", rms_norm_post},
                                    {"layer_norm_post_all_gather", layer_norm_post}};

} // namespace

std::span<const GoldenEntry> norm_goldens() {
  return kEntries;
}

} // namespace tessera::reference
