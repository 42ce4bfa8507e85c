#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::tokenizer {

/// What merging a pair of tokens gives.
struct Merge {
  std::int32_t rank; // the order in which merges apply, lowest first
  std::int32_t id;   // of the merged token
};

/// The merges of a BPE model by their pair of ids. Open addressing in one array, because this look-up is most of the
/// time of encoding and a node-based map follows a pointer for each.
class MergeTable {
 public:
  /// Makes room for `count` merges; fewer than that may be set.
  explicit MergeTable(std::size_t count = 0) : slots_(std::bit_ceil(2 * count + 2)) {}

  /// Sets the merge of a pair, in place of an earlier one. REQUIRES: ids of at least 0; room (see the constructor).
  void set(std::int32_t left, std::int32_t right, Merge merge) { slots_[slot_of(left, right)] = {left, right, merge}; }

  /// The merge of a pair, or nullptr.
  const Merge* find(std::int32_t left, std::int32_t right) const {
    const Slot& slot = slots_[slot_of(left, right)];
    return slot.left < 0 ? nullptr : &slot.merge;
  }

 private:
  struct Slot {
    std::int32_t left = -1; // -1: free
    std::int32_t right = -1;
    Merge merge{};
  };

  // The pair's slot, or the free one where it would go. At least half of the slots are free, so the search ends.
  std::size_t slot_of(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
    const std::size_t mask = slots_.size() - 1;
    // Fibonacci hashing (Knuth, TAOCP 6.4): the upper bits of the product depend on all bits of the key.
    std::size_t at = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 32) & mask;
    while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

} // namespace tessera::tokenizer
