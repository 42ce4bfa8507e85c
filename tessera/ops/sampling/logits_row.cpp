#include "tessera/ops/sampling/logits_row.hpp"

#include <algorithm>
#include <limits>

namespace tessera::ops {

const float* LogitsRow::read(std::int64_t first, std::int64_t count, float* memory) const {
  const std::int64_t there = std::min(count, size_ - first);
  if (values_ != nullptr && there == count) return values_ + first;
  if (values_ != nullptr) {
    std::copy_n(values_ + first, there, memory);
  } else {
    kernels::kernels().load_row(tiles_, row_, first, there, memory);
  }
  std::fill(memory + there, memory + count, std::numeric_limits<float>::quiet_NaN());
  return memory;
}

void find_maxima(const LogitsRow& row, std::int64_t first, std::span<float> maxima) {
  float memory[kLogitsChunk];
  constexpr std::int64_t kBlocks = kLogitsChunk / kLogitsBlock;
  for (std::int64_t i = 0; i < std::ssize(maxima); i += kBlocks) {
    const std::int64_t blocks = std::min(kBlocks, std::ssize(maxima) - i);
    const float* const logits = row.read((first + i) * kLogitsBlock, blocks * kLogitsBlock, memory);
    kernels::kernels().block_maxima(logits, blocks, maxima.data() + i);
  }
}

std::int64_t index_of_largest(const LogitsRow& row, std::span<const float> maxima) {
  const float maximum = *std::max_element(maxima.begin(), maxima.end());
  float memory[kLogitsBlock];
  // The first block that has it, but that a block of NaN alone has the maximum of one that holds -infinity.
  for (std::int64_t block = 0; block < std::ssize(maxima); ++block) {
    if (maxima[static_cast<std::size_t>(block)] != maximum) continue;
    const float* const logits = row.read(block * kLogitsBlock, kLogitsBlock, memory);
    const float* const best = std::find(logits, logits + kLogitsBlock, maximum);
    if (best != logits + kLogitsBlock) return block * kLogitsBlock + (best - logits);
  }
  return 0;
}

} // namespace tessera::ops
