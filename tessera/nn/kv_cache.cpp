#include "tessera/nn/kv_cache.hpp"

#include <numeric>

#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

tensor::Tensor cache(runtime::MeshDevice& device, const KvCacheConfig& config, DataType dtype, std::string_view name) {
  const runtime::MemoryKindScope kind(device, runtime::MemoryKind::KV_CACHE);
  const Shape shape{config.users * config.blocks_of_user(), config.kv_heads, config.block_size, config.head_dim};
  return tensor::zeros(device, {shape, dtype, Layout::TILE, kDramInterleaved}, name);
}

} // namespace

KvCache::KvCache(runtime::MeshDevice& device, const KvCacheConfig& config, DataType dtype)
    : keys(cache(device, config, dtype, "k_cache")), values(cache(device, config, dtype, "v_cache")) {}

tensor::Tensor identity_page_table(runtime::MeshDevice& device, const KvCacheConfig& config) {
  const runtime::MemoryKindScope kind(device, runtime::MemoryKind::KV_CACHE);
  std::vector<std::int32_t> pages(static_cast<std::size_t>(config.users * config.blocks_of_user()));
  std::iota(pages.begin(), pages.end(), 0);
  const TensorSpec spec{{config.users, config.blocks_of_user()}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};
  return tensor::from_host(device, std::move(pages), spec, "page_table");
}

} // namespace tessera::nn
