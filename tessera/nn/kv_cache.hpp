#pragma once

#include <cstdint>

#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// Extents of a paged KV cache, the same for all layers.
struct KvCacheConfig {
  std::int64_t users = 1;
  std::int64_t context = 2048; ///< positions of each user; a multiple of block_size
  std::int64_t kv_heads = 1;
  std::int64_t head_dim = 64;
  std::int64_t block_size = 32; ///< positions of a page: a tile row, as in tt_transformers' page_params

  std::int64_t blocks_of_user() const { return context / block_size; }
};

/// Keys and values of one layer: [blocks, Hkv, block_size, D] each, zero at first.
struct KvCache {
  tensor::Tensor keys;
  tensor::Tensor values;

  KvCache() = default;
  KvCache(runtime::MeshDevice& device, const KvCacheConfig& config, DataType dtype);
};

/// The identity page table: user u owns blocks u * n .. (u + 1) * n - 1, which makes the cache contiguous. [users, n]
/// INT32.
tensor::Tensor identity_page_table(runtime::MeshDevice& device, const KvCacheConfig& config);

} // namespace tessera::nn
