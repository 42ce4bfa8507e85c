#pragma once

#include <cstdint>
#include <span>

#include "tessera/kernels/kernels.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::ops {

/// Logits are looked at by blocks, which have a maximum each: where few blocks reach a threshold, few are read again.
inline constexpr std::int64_t kLogitsBlock = kernels::kMaximaBlock;
/// Logits that are read at a time where all are read: few enough to stay in the level 1 cache, with as many weights.
inline constexpr std::int64_t kLogitsChunk = 16 * kLogitsBlock;

/// A row of logits, on the host or in a tiled matrix.
class LogitsRow {
 public:
  explicit LogitsRow(std::span<const float> logits) : values_(logits.data()), size_(std::ssize(logits)) {}
  LogitsRow(const kernels::ConstTiles& tiles, std::int64_t row, std::int64_t size)
      : tiles_(tiles), row_(row), size_(size) {}

  std::int64_t size() const { return size_; }
  std::int64_t blocks() const { return div_up(size_, kLogitsBlock); }
  /// Logits `first` to first + count: where they lie, or written to `memory`, which has room for them. Beyond the end
  /// there is NaN, which is never larger than or equal to anything.
  const float* read(std::int64_t first, std::int64_t count, float* memory) const;

 private:
  const float* values_ = nullptr; // of a row on the host
  kernels::ConstTiles tiles_;
  std::int64_t row_ = 0;
  std::int64_t size_ = 0;
};

/// maxima[i] = the largest logit of block first + i. NaN counts as nothing: a block of it has the maximum -infinity.
void find_maxima(const LogitsRow& row, std::int64_t first, std::span<float> maxima);

/// Index of the largest logit, the lowest one of equals; NaN ranks last, and a row of nothing else gives 0.
/// `maxima` are those of all blocks.
std::int64_t index_of_largest(const LogitsRow& row, std::span<const float> maxima);

} // namespace tessera::ops
