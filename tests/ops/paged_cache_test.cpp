#include "tessera/ops/kv_cache/paged_cache.hpp"

#include "tests/ops/paged_caches.hpp"

namespace tessera::ops {
namespace {

class PagedCacheOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, PagedCacheOfFormat, kFloatFormats, test::dtype_name);

TEST_P(PagedCacheOfFormat, FillPutsAPromptIntoItsPagesAndTouchesNothingElse) {
  for (const auto& [block_size, head_dim] : {std::pair{32, 16}, {64, 40}, {32, 8}}) {
    const PagedLayout layout = PagedLayout::shuffled(3, 4, 2, block_size, head_dim);
    for (const std::int64_t length : {std::int64_t{1}, std::int64_t{31}, std::int64_t{33}, layout.context()}) {
      const HostTensor old = random_values(layout.cache_shape(), 1);
      const HostTensor prompt = random_values({1, 2, length, head_dim}, 2);
      const Tensor cache = upload(old, GetParam());
      paged_fill_cache(cache, upload(prompt, DataType::BFLOAT16), layout.table_on(*device), 1);
      HostTensor expected = rounded(old, GetParam());
      const HostTensor written = rounded(rounded(prompt, DataType::BFLOAT16), GetParam());
      for (std::int64_t head = 0; head < 2; ++head) {
        for (std::int64_t position = 0; position < length; ++position)
          copy_row(written, head * length + position, expected, layout.row(1, head, position));
      }
      EXPECT_EQ(bits_of(to_host(cache)), bits_of(expected)) << "length " << length << " block size " << block_size;
    }
  }
}

TEST_P(PagedCacheOfFormat, UpdatePutsOnePositionOfEachUserAndSkipsIdleOnes) {
  for (const auto& [users, head_dim] : {std::pair{1, 16}, {5, 40}, {32, 8}}) {
    const PagedLayout layout = PagedLayout::shuffled(users, 2, 3, 32, head_dim);
    const HostTensor old = random_values(layout.cache_shape(), 3);
    const HostTensor rows = random_values({1, users, 3, head_dim}, 4);
    std::vector<std::int32_t> positions;
    for (int user = 0; user < users; ++user) positions.push_back(user % 4 == 3 ? -1 : user * 37 % 64);
    const Tensor cache = upload(old, GetParam());
    paged_update_cache(cache, by_users(upload(rows, DataType::FLOAT32)),
                       integers_to_device(*device, {users}, positions), layout.table_on(*device));
    HostTensor expected = rounded(old, GetParam());
    const HostTensor written = rounded(rows, GetParam());
    for (std::int64_t user = 0; user < users; ++user) {
      const std::int32_t position = positions[static_cast<std::size_t>(user)];
      for (std::int64_t head = 0; head < 3 && position >= 0; ++head)
        copy_row(written, user * 3 + head, expected, layout.row(user, head, position));
    }
    EXPECT_EQ(bits_of(to_host(cache)), bits_of(expected)) << users << " users";
  }
}

TEST_P(PagedCacheOfFormat, FillTakesTheUserThatATensorNamesWhenItRuns) {
  const PagedLayout layout = PagedLayout::shuffled(3, 4, 2, 32, 40);
  const Tensor user = integers_to_device(*device, {1}, {-1});
  for (const std::int32_t index : {0, 2}) {
    const HostTensor old = random_values(layout.cache_shape(), 1);
    const Tensor prompt = upload(random_values({1, 2, 70, 40}, 2), DataType::BFLOAT16);
    const Tensor cache = upload(old, GetParam());
    const Tensor expected = upload(old, GetParam());
    tensor::write(user, {index});
    paged_fill_cache(cache, prompt, layout.table_on(*device), user);
    paged_fill_cache(expected, prompt, layout.table_on(*device), index);
    EXPECT_EQ(bits_of(to_host(cache)), bits_of(to_host(expected))) << "user " << index;
  }
}

class PagedCacheTest : public OpsTest {
 protected:
  PagedLayout layout = PagedLayout::shuffled(2, 2, 2, 32, 16);
  Tensor cache = random(layout.cache_shape(), 1);
  Tensor table = layout.table_on(*device);
};

TEST_F(PagedCacheTest, ABlockOfMinusOneIsSkipped) {
  const std::vector<std::uint32_t> before = bits_of(to_host(cache));
  const Tensor none = integers_to_device(*device, {2, 2}, {-1, -1, -1, -1});
  paged_fill_cache(cache, random({1, 2, 40, 16}, 2), none, 0);
  paged_update_cache(cache, by_users(random({1, 2, 2, 16}, 3)), integers_to_device(*device, {2}, {0, 33}), none);
  EXPECT_EQ(bits_of(to_host(cache)), before);
}

TEST_F(PagedCacheTest, FewerUsersThanTheTableHasRowsMayUpdate) {
  const PagedLayout wide = PagedLayout::shuffled(4, 2, 2, 32, 16);
  const Tensor wide_cache = random(wide.cache_shape(), 1);
  const HostTensor row = random_values({1, 1, 2, 16}, 2);
  paged_update_cache(wide_cache, by_users(upload(row, DataType::BFLOAT16)), integers_to_device(*device, {1}, {40}),
                     wide.table_on(*device));
  const HostTensor held = to_host(wide_cache);
  const HostTensor stored = rounded(row, DataType::BFLOAT16);
  EXPECT_TRUE(std::equal(stored.row(1).begin(), stored.row(1).end(), held.row(wide.row(0, 1, 40)).begin()));
}

TEST_F(PagedCacheTest, PositionsAndBlocksOutOfRangeFailOnTheQueue) {
  paged_update_cache(cache, by_users(random({1, 2, 2, 16}, 3)), integers_to_device(*device, {2}, {0, 64}), table);
  EXPECT_THAT([&] { device->synchronize(); },
              ThrowsMessage<base::DeviceError>(testing::AllOf(HasSubstr("[paged_update_cache]"),
                                                              HasSubstr("positions must be below 64; received 64"))));
  const Tensor wild = integers_to_device(*device, {2, 2}, {0, 1, 7, 2});
  paged_fill_cache(cache, random({1, 2, 3, 16}, 3), wild, 1);
  EXPECT_THAT([&] { device->synchronize(); },
              ThrowsMessage<base::DeviceError>(testing::AllOf(
                  HasSubstr("[paged_fill_cache]"), HasSubstr("page table entries must be below 7; received 7"))));
}

TEST_F(PagedCacheTest, AUserOutOfRangeFailsOnTheQueue) {
  for (const auto& [user, text] : {std::pair{-1, "received -1"}, {2, "received 2"}}) {
    paged_fill_cache(cache, random({1, 2, 3, 16}, 3), table, integers_to_device(*device, {1}, {user}));
    EXPECT_THAT([&] { device->synchronize(); },
                ThrowsMessage<base::DeviceError>(testing::AllOf(
                    HasSubstr("[paged_fill_cache]"), HasSubstr("batch_idx must be in 0..1"), HasSubstr(text))));
  }
}

TEST_F(PagedCacheTest, FillRecordsTheTensorThatNamesTheUser) {
  RecordKeeper keeper(*device);
  paged_fill_cache(cache, random({1, 2, 3, 16}, 3), table, integers_to_device(*device, {1}, {1}));
  device->synchronize();
  EXPECT_THAT(names_of(keeper.records.back().inputs),
              testing::ElementsAre("cache_tensor", "input_tensor", "page_table", "batch_idx_tensor"));
}

TEST_F(PagedCacheTest, FillRefusesOperandsThatDoNotFit) {
  const Tensor prompt = random({1, 2, 40, 16}, 2);
  EXPECT_INVALID(paged_fill_cache(cache, random({1, 3, 40, 16}, 2), table, 0),
                 "[paged_fill_cache] input must have the shape [1, 2, 40, 16]");
  EXPECT_INVALID(paged_fill_cache(cache, prompt, table, 2),
                 "[paged_fill_cache] batch_idx in 0..1 is required; received 2");
  EXPECT_INVALID(paged_fill_cache(cache, prompt, table, Tensor()), "[paged_fill_cache] batch_idx must be INT32 [1]");
  EXPECT_INVALID(paged_fill_cache(cache, prompt, table, integers_to_device(*device, {2}, {0, 1})),
                 "[paged_fill_cache] batch_idx must be INT32 [1]");
  EXPECT_INVALID(paged_fill_cache(cache, random({1, 2, 65, 16}, 2), table, 0),
                 "[paged_fill_cache] input must have at most 64 positions; received 65");
  EXPECT_INVALID(paged_fill_cache(cache, prompt, Tensor(), 0), "page_table must be INT32");
  EXPECT_INVALID(paged_fill_cache(cache, prompt, random({2, 2}, 1), 0), "page_table must be INT32");
  EXPECT_INVALID(paged_fill_cache(random({7, 2, 16, 16}, 1), prompt, table, 0), "block_size of whole tiles");
  EXPECT_INVALID(paged_fill_cache(Tensor(), prompt, table, 0), "[paged_fill_cache] cache must be");
}

TEST_F(PagedCacheTest, UpdateRefusesOperandsThatDoNotFit) {
  const Tensor rows = random({1, 2, 2, 16}, 2);
  const Tensor positions = integers_to_device(*device, {2}, {0, 1});
  EXPECT_INVALID(paged_update_cache(cache, random({1, 2, 3, 16}, 2), positions, table),
                 "[paged_update_cache] input must have the shape [1, 2, 2, 16]");
  EXPECT_INVALID(paged_update_cache(cache, rows, integers_to_device(*device, {3}, {0, 1, 2}), table),
                 "[paged_update_cache] update_idxs must be INT32 [2]");
  EXPECT_INVALID(paged_update_cache(cache, rows, random({2}, 1, DataType::FLOAT32), table),
                 "[paged_update_cache] update_idxs must be INT32 [2]");
  EXPECT_INVALID(paged_update_cache(cache, rows, positions, integers_to_device(*device, {1, 2}, {0, 1})),
                 "[paged_update_cache] page_table must have a row for each of 2 users");
  EXPECT_INVALID(
      paged_update_cache(cache, rows, positions, table),
      "[paged_update_cache] input must be HEIGHT_SHARDED, a user's heads on a core; received BFLOAT16 [1, 2, "
      "2, 16] TILE DRAM INTERLEAVED");
}

} // namespace
} // namespace tessera::ops
