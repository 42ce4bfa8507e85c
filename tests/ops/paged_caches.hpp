#pragma once

#include <numeric>

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {

/// Extents of a paged cache and a page table that is anything but the identity.
struct PagedLayout {
  std::int64_t users = 1;
  std::int64_t blocks_of_user = 4;
  std::int64_t kv_heads = 2;
  std::int64_t block_size = 32;
  std::int64_t head_dim = 16;
  std::vector<std::int32_t> table; ///< [users, blocks_of_user]

  static PagedLayout shuffled(std::int64_t users, std::int64_t blocks_of_user, std::int64_t kv_heads,
                              std::int64_t block_size, std::int64_t head_dim) {
    PagedLayout layout{users, blocks_of_user, kv_heads, block_size, head_dim, {}};
    std::vector<std::int32_t> blocks(static_cast<std::size_t>(layout.blocks()));
    std::iota(blocks.begin(), blocks.end(), 0);
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937(11));
    layout.table.assign(blocks.begin(), blocks.begin() + users * blocks_of_user);
    return layout;
  }

  /// A few blocks belong to nobody.
  std::int64_t blocks() const { return users * blocks_of_user + 3; }
  std::int64_t context() const { return blocks_of_user * block_size; }
  Shape cache_shape() const { return {blocks(), kv_heads, block_size, head_dim}; }
  /// Row of the cache, all dimensions but the last folded, where a user's position of one head lies.
  std::int64_t row(std::int64_t user, std::int64_t head, std::int64_t position) const {
    const std::int64_t block = table[static_cast<std::size_t>(user * blocks_of_user + position / block_size)];
    return (block * kv_heads + head) * block_size + position % block_size;
  }
  Tensor table_on(runtime::MeshDevice& device) const {
    return integers_to_device(device, {users, blocks_of_user}, table);
  }
};

/// Copies row `from_row` of a host tensor over row `to_row` of another.
inline void copy_row(const HostTensor& from, std::int64_t from_row, HostTensor& to, std::int64_t to_row) {
  const auto row = from.row(from_row);
  std::copy(row.begin(), row.end(), to.data.begin() + to_row * to.shape[-1]);
}

} // namespace tessera::ops
