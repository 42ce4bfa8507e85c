#include "tessera/ops/data_movement/copy.hpp"

#include "tessera/spec/sharding.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

class CopyTest : public OpsTest {};

TEST_F(CopyTest, KeepsEveryBitInAnyPlaceAndFormat) {
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    const Tensor x = upload(random_values({2, 3, 40, 70}, 1), dtype);
    const Tensor in_l1 = to_memory_config(x, kL1Interleaved);
    EXPECT_EQ(in_l1.memory_config(), kL1Interleaved);
    EXPECT_EQ(to_host(in_l1).data, to_host(x).data);
    const Tensor other = upload(random_values({2, 3, 40, 70}, 2), dtype);
    copy(other, in_l1);
    EXPECT_EQ(to_host(in_l1).data, to_host(other).data);
  }
  const Tensor ids = integers_to_device(*device, {2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor more = integers_to_device(*device, {2, 3}, {7, 8, 9, 10, 11, 12});
  copy(ids, more);
  EXPECT_EQ(to_host_integers(more), to_host_integers(ids));
}

TEST_F(CopyTest, ShardsKeepEveryBit) {
  const std::vector<MemoryConfig> places = {kL1HeightSharded, kL1WidthSharded, kL1BlockSharded};
  const HostTensor values = random_values({1, 3, 70, 200}, 1);
  const HostTensor others = random_values({1, 3, 70, 200}, 2);
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B}) {
    const Tensor x = upload(values, dtype);
    for (const MemoryConfig& place : places) {
      const Tensor sharded = interleaved_to_sharded(x, place);
      EXPECT_EQ(sharded.memory_config().memory_layout, place.memory_layout);
      const Tensor behind = upload(others, dtype, kL1Interleaved); // may not overlap
      EXPECT_EQ(bits_of(to_host(sharded)), bits_of(to_host(x)));
      for (const MemoryConfig& other : places) {
        const Tensor moved = reshard(sharded, other);
        EXPECT_EQ(moved.memory_config().memory_layout, other.memory_layout);
        EXPECT_EQ(bits_of(to_host(moved)), bits_of(to_host(x)));
      }
      EXPECT_EQ(bits_of(to_host(sharded_to_interleaved(sharded))), bits_of(to_host(x)));
      EXPECT_EQ(bits_of(to_host(behind)), bits_of(rounded(others, dtype)));
    }
  }
}

TEST_F(CopyTest, AShardSpecThatIsGivenIsKept) {
  const MemoryConfig blocks = create_sharded_memory_config({1, 1, 64, 128}, {2, 2}, TensorMemoryLayout::BLOCK_SHARDED);
  const Tensor x = random({1, 1, 64, 128}, 1);
  EXPECT_EQ(to_memory_config(x, blocks).memory_config(), blocks);
  EXPECT_INVALID(to_memory_config(random({1, 1, 96, 128}, 1), blocks), "at most 2 shards down and 2 across");
}

TEST_F(CopyTest, NamesOfOneDirectionRefuseTheOther) {
  const Tensor x = random({32, 64}, 1);
  const Tensor sharded = to_memory_config(x, kL1WidthSharded);
  EXPECT_INVALID(interleaved_to_sharded(sharded, kL1WidthSharded), "input_tensor must be interleaved");
  EXPECT_INVALID(interleaved_to_sharded(x, kL1Interleaved), "a sharded memory_config is required");
  EXPECT_INVALID(sharded_to_interleaved(x), "[sharded_to_interleaved] input_tensor must be sharded");
  EXPECT_INVALID(sharded_to_interleaved(sharded, kL1WidthSharded), "an interleaved memory_config is required");
  EXPECT_INVALID(reshard(x, kL1WidthSharded), "[reshard] input_tensor must be sharded");
  EXPECT_INVALID(reshard(sharded, kL1Interleaved), "[reshard] a sharded memory_config is required");
  const Tensor rows = integers_to_device(*device, {4, 6}, std::vector<std::int32_t>(24));
  const MemoryConfig of_three{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, 2, 4, 3}};
  EXPECT_INVALID(interleaved_to_sharded(rows, of_three), "a multiple of L1's alignment, 16 bytes; received 12 bytes");
}

TEST_F(CopyTest, RowsOfShardsAreAlignedWhoeverChoosesThem) {
  const auto rows_of = [&](std::int64_t width) {
    return tensor::from_host(*device, tensor::rows_of(random_values({1, 1, 32, width}, 1)),
                             {{1, 1, 32, width}, DataType::BFLOAT16, Layout::ROW_MAJOR, {}}, "rows");
  };
  const std::string in_25 = "16 bytes; received 8 bytes for BFLOAT16 [1, 1, 32, 100] ROW_MAJOR L1 WIDTH_SHARDED 32x4";
  const Tensor rows = rows_of(100); // 25 cores suit the width, with 4 elements each
  EXPECT_INVALID(interleaved_to_sharded(rows, kL1WidthSharded), in_25);
  EXPECT_INVALID(to_memory_config(rows, kL1WidthSharded), in_25);
  const Tensor whole = rows_of(64);
  const Tensor sharded = to_memory_config(whole, kL1HeightSharded);
  const MemoryConfig of_four{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{2, 8, 32, 4}};
  EXPECT_INVALID(reshard(sharded, of_four), "[reshard] rows of a shard in ROW_MAJOR must be a multiple");
  const MemoryConfig of_eight{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, 8, 32, 8}};
  EXPECT_EQ(to_host(reshard(sharded, of_eight)).data, to_host(whole).data);
}

TEST_F(CopyTest, RefusesTensorsThatDiffer) {
  const Tensor x = upload(random_values({32, 32}, 1), DataType::BFLOAT16);
  EXPECT_INVALID(copy(x, upload(random_values({32, 64}, 1), DataType::BFLOAT16)), "[copy] input_b must have the shape");
  EXPECT_INVALID(copy(x, upload(random_values({32, 32}, 1), DataType::FLOAT32)), "[copy] input_b must have the shape");
  EXPECT_INVALID(copy(x, Tensor()), "received BFLOAT16 [32, 32] TILE DRAM INTERLEAVED and none");
  EXPECT_INVALID(to_memory_config(Tensor(), kL1Interleaved), "[to_memory_config]");
}

} // namespace
} // namespace tessera::ops
