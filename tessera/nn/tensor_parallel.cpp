#include "tessera/nn/tensor_parallel.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::nn {
namespace {

constexpr int kWidth = 3; // the innermost dimension of activations
// From so many chips on a mesh's lines are closed to rings.
constexpr std::int64_t kRingFrom = 8;

void require_heads(const DecoderConfig& config, std::int64_t ways) {
  if (heads_divide(config, ways)) return;
  std::vector<std::int64_t> possible;
  for (std::int64_t n = 1; n <= config.heads; ++n) {
    if (heads_divide(config, n)) possible.push_back(n);
  }
  throw base::InvalidArgument(
      fmt::format("[tensor parallel] the chips that share the {} query heads and {} key-value heads must divide them; "
                  "received {} chips; {} are possible",
                  config.heads, config.kv_heads, ways, fmt::join(possible, ", ")));
}

} // namespace

bool heads_divide(const DecoderConfig& config, std::int64_t ways) {
  return config.heads % ways == 0 && (config.kv_heads % ways == 0 || ways % config.kv_heads == 0);
}

std::int64_t shard_extent(std::int64_t extent, std::int64_t ways) {
  return ways == 1 ? extent : round_up(div_up(extent, ways), kTileWidth);
}

TensorParallel::TensorParallel(const BoardSpec& mesh, TensorParallelScheme scheme, const DecoderConfig& config)
    : scheme_(scheme), chips_(mesh.chips()), columns_(mesh.mesh_columns), hidden_size_(config.hidden_size) {
  require_heads(config, head_ways());
}

TensorParallel::Range TensorParallel::residual(std::int64_t chip) const {
  const std::int64_t count = shard_extent(hidden_size_, hidden_ways());
  return {(scheme_ == TensorParallelScheme::LINE ? chip : chip % columns_) * count, count};
}

TensorParallel::Range TensorParallel::input(std::int64_t chip) const {
  if (scheme_ == TensorParallelScheme::GRID) return residual(chip);
  return {0, chips_ * residual(chip).count};
}

TensorParallel::Range TensorParallel::shared(std::int64_t chip, std::int64_t extent) const {
  const std::int64_t count = shard_extent(extent, head_ways());
  return {head_place(chip) * count, count};
}

TensorParallel::Range TensorParallel::heads(std::int64_t chip, std::int64_t count) const {
  return {head_place(chip) * count / head_ways(), std::max<std::int64_t>(1, count / head_ways())};
}

runtime::Sharing TensorParallel::residual_sharing() const {
  if (scheme_ == TensorParallelScheme::LINE) return {};
  return {.divisor = 1, .modulus = static_cast<std::uint32_t>(columns_)};
}

tensor::MeshRows TensorParallel::of_chips(const std::function<tensor::HostRows(std::int64_t)>& rows) const {
  std::vector<tensor::HostRows> parts;
  for (std::int64_t chip = 0; chip < chips_; ++chip) parts.push_back(rows(chip));
  return tensor::MeshRows(std::move(parts));
}

ops::CclOptions TensorParallel::over_heads() const {
  ops::CclOptions options;
  if (scheme_ == TensorParallelScheme::GRID) options.cluster_axis = 0;
  if (head_ways() >= kRingFrom) options.topology = ops::Topology::Ring;
  return options;
}

ops::CclOptions TensorParallel::over_hidden() const {
  ops::CclOptions options;
  if (scheme_ == TensorParallelScheme::GRID) options.cluster_axis = 1;
  if (hidden_ways() >= kRingFrom) options.topology = ops::Topology::Ring;
  return options;
}

tensor::Tensor TensorParallel::gather_statistics(const tensor::Tensor& statistics) const {
  return ops::all_gather(statistics, kWidth, over_hidden());
}

tensor::Tensor TensorParallel::gather_input(const tensor::Tensor& normed) const {
  return scheme_ == TensorParallelScheme::LINE ? ops::all_gather(normed, kWidth, over_hidden()) : normed;
}

tensor::Tensor TensorParallel::sum_columns(const tensor::Tensor& partial) const {
  return scheme_ == TensorParallelScheme::LINE ? partial : ops::all_reduce(partial, over_hidden());
}

tensor::Tensor TensorParallel::sum_rows(const tensor::Tensor& partial) const {
  return scheme_ == TensorParallelScheme::LINE ? ops::reduce_scatter(partial, kWidth, over_heads())
                                               : ops::all_reduce(partial, over_heads());
}

tensor::Tensor TensorParallel::gather_logits(const tensor::Tensor& part, std::int64_t vocab_size) const {
  const tensor::Tensor logits = ops::all_gather(part, kWidth, over_heads());
  return logits.shape()[-1] == vocab_size ? logits : ops::slice_columns(logits, 0, vocab_size);
}

tensor::HostTensor TensorParallel::residual_to_host(const tensor::Tensor& x) const {
  const tensor::MeshConcat hidden{kWidth, hidden_size_};
  return tensor::to_host(x, scheme_ == TensorParallelScheme::LINE ? tensor::MeshComposer{.mesh = hidden}
                                                                  : tensor::MeshComposer{.columns = hidden});
}

tensor::HostTensor TensorParallel::input_to_host(const tensor::Tensor& x) const {
  if (scheme_ == TensorParallelScheme::GRID) return residual_to_host(x);
  // Every chip holds all of it, and the zeros behind.
  const tensor::MeshPart whole = tensor::MeshPart::all_of(x.shape());
  tensor::MeshPart part = whole;
  part.whole = whole.whole.with(kWidth, hidden_size_);
  return tensor::begin_read(x, std::vector{tensor::ChipPart{0, part}}).get();
}

} // namespace tessera::nn
