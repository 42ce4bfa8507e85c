#include "tessera/nn/kv_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

TEST(KvCache, HoldsABlockOfEachUserForEveryBlockSizePositions) {
  const auto device = runtime::MeshDevice::open();
  const KvCacheConfig config{.users = 3, .context = 128, .kv_heads = 2, .head_dim = 40};
  const KvCache cache(*device, config, DataType::BFLOAT8_B);
  EXPECT_EQ(config.blocks_of_user(), 4);
  EXPECT_EQ(cache.keys.spec(), (TensorSpec{{12, 2, 32, 40}, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved}));
  EXPECT_EQ(cache.values.spec(), cache.keys.spec());
  EXPECT_NE(cache.keys.address(), cache.values.address());
  EXPECT_THAT(to_host(cache.keys).data, testing::Each(0.0F));
}

TEST(KvCache, CountsAsKvCache) {
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const KvCacheConfig config{.users = 32, .context = 2048, .kv_heads = 8, .head_dim = 128};
  const KvCache cache(*device, config, DataType::BFLOAT8_B);
  const tensor::Tensor table = identity_page_table(*device, config);
  const auto& usage = device->allocator(BufferType::DRAM).usage();
  EXPECT_EQ(usage.used_by_kind[0], 0);
  EXPECT_EQ(usage.used_by_kind[2], 0);
  EXPECT_GE(usage.used_by_kind[1], 2 * 32 * 64 * 8 * 4 * 1088);
}

TEST(IdentityPageTable, GivesEachUserItsOwnRunOfBlocks) {
  const auto device = runtime::MeshDevice::open();
  const tensor::Tensor table = identity_page_table(*device, {.users = 3, .context = 64});
  EXPECT_EQ(table.shape(), (Shape{3, 2}));
  EXPECT_THAT(to_host_integers(table), testing::ElementsAre(0, 1, 2, 3, 4, 5));
}

} // namespace
} // namespace tessera::nn
