#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tessera/kernels/isa.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::kernels::scalar {
namespace {

constexpr float kSlack = 8.0F;
constexpr float kLog2E = 1.44269504F;
constexpr std::int64_t kPanelKeys = kTileHeight;

float without_denormal(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0F, value) : value;
}

void put(std::byte* values, std::int64_t index, float value) {
  const std::uint16_t bits = numerics::to_bfloat16(value);
  std::memcpy(values + 2 * index, &bits, sizeof bits);
}

float get(const std::byte* values, std::int64_t index) {
  std::uint16_t bits;
  std::memcpy(&bits, values + 2 * index, sizeof bits);
  return without_denormal(numerics::from_bfloat16(bits));
}

/// Panels are plain here: [32 keys, width].
void pack(const TileRow& row, std::int64_t first, std::int64_t last, std::byte* panel) {
  std::array<float, kTileElements> tile;
  const std::int64_t columns = row.tiles.tile_columns;
  for (std::int64_t column = 0; column < columns; ++column) {
    load_tile(row.tiles, row.row, column, tile.data());
    for (std::int64_t key = 0; key < kTileHeight; ++key) {
      for (std::int64_t d = 0; d < kTileWidth; ++d) {
        const float value = tile[static_cast<std::size_t>(key * kTileWidth + d)];
        put(panel, (key * columns + column) * kTileWidth + d, first <= key && key < last ? value : 0.0F);
      }
    }
  }
}

/// One chain of multiply-adds, the odd one of each pair of steps first.
template <typename Left, typename Right>
float add_products(float sum, std::int64_t begin, std::int64_t end, const Left& left, const Right& right) {
  for (std::int64_t step = begin; step < end; ++step)
    sum = without_denormal(std::fma(left(step ^ 1), right(step ^ 1), sum));
  return sum;
}

/// log2 of the weight of one key, before the reference is taken off.
float score(const PackedAttention& block, std::int64_t row, std::int64_t key) {
  const std::byte* panel = block.keys + key / kPanelKeys * kPanelKeys * block.width * 2;
  const auto q = [&](std::int64_t d) { return get(block.q, row * block.width + d); };
  const auto k = [&](std::int64_t d) { return get(panel, key % kPanelKeys * block.width + d); };
  float score = add_products(0.0F, 0, (block.head_dim + 1) / 2 * 2, q, k) * (block.scale * kLog2E);
  const float cap = block.softcap * kLog2E;
  if (cap != 0) score = cap * std::tanh(score / cap);
  return block.bias == nullptr ? score : std::fma(block.bias[row * kAttentionKeys + key], kLog2E, score);
}

void raise_reference(const AttentionSums& sums, std::int64_t row, std::int64_t width, float reference) {
  const float factor = std::exp2(sums.reference[row] - reference);
  sums.reference[row] = reference;
  for (std::int64_t i = 0; i < kAttentionSumLanes; ++i) sums.sum[row * kAttentionSumLanes + i] *= factor;
  for (std::int64_t d = 0; d < width; ++d) sums.accumulator[row * width + d] *= factor;
}

void fold_row(const AttentionSums& sums, const PackedAttention& block, std::int64_t row) {
  const std::int64_t first = block.first == nullptr ? 0 : block.first[row];
  const std::int64_t last = block.last == nullptr ? block.count : block.last[row];
  if (first >= last) return;
  std::array<float, kAttentionKeys> weights{};
  const auto weight = [&weights](std::int64_t key) -> float& { return weights[static_cast<std::size_t>(key)]; };
  float most = -std::numeric_limits<float>::infinity();
  for (std::int64_t key = first; key < last; ++key) most = std::max(most, weight(key) = score(block, row, key));
  if (most > sums.reference[row] + kSlack) raise_reference(sums, row, block.width, most);
  for (std::int64_t key = first; key < last; ++key) {
    const float rounded = numerics::from_bfloat16(numerics::to_bfloat16(std::exp2(weight(key) - sums.reference[row])));
    weight(key) = without_denormal(rounded);
    sums.sum[row * kAttentionSumLanes] += weight(key);
  }
  for (std::int64_t d = 0; d < block.width; ++d) {
    float& sum = sums.accumulator[row * block.width + d];
    const auto value = [&](std::int64_t key) {
      return first <= key && key < last ? get(block.values, key * block.width + d) : 0.0F;
    };
    sum = add_products(sum, first / 2 * 2, (last + 1) / 2 * 2, weight, value);
  }
}

} // namespace

void attention_pack_keys(const TileRow& k, const Lines& /*ahead*/, std::byte* panel) noexcept {
  pack(k, 0, kTileHeight, panel);
}

void attention_pack_values(const TileRow& v, const Lines& /*ahead*/, std::int64_t first, std::int64_t last,
                           std::byte* panel) noexcept {
  pack(v, first, last, panel);
}

void attention_bf16(const AttentionSums& sums, const PackedAttention& block) noexcept {
  for (std::int64_t row = 0; row < block.rows; ++row) fold_row(sums, block, row);
}

void attention_merge(const AttentionSums& into, const AttentionSums& from, std::int64_t rows,
                     std::int64_t width) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float reference = std::max(into.reference[row], from.reference[row]);
    const float mine = std::exp2(into.reference[row] - reference);
    const float other = std::exp2(from.reference[row] - reference);
    into.reference[row] = reference;
    const auto merge = [&](float& a, float b) { a = std::fma(b, other, a * mine); };
    for (std::int64_t i = row * kAttentionSumLanes; i < (row + 1) * kAttentionSumLanes; ++i)
      merge(into.sum[i], from.sum[i]);
    for (std::int64_t i = row * width; i < (row + 1) * width; ++i) merge(into.accumulator[i], from.accumulator[i]);
  }
}

void attention_divide(const AttentionSums& sums, std::int64_t rows, std::int64_t width, float* out) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float sum = sums.sum[row * kAttentionSumLanes];
    for (std::int64_t i = row * width; i < (row + 1) * width; ++i) out[i] = sum == 0 ? 0.0F : sums.accumulator[i] / sum;
  }
}

} // namespace tessera::kernels::scalar
