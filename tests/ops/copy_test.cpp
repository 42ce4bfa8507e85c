#include "tessera/ops/data_movement/copy.hpp"

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

TEST_F(CopyTest, RefusesTensorsThatDiffer) {
  const Tensor x = upload(random_values({32, 32}, 1), DataType::BFLOAT16);
  EXPECT_INVALID(copy(x, upload(random_values({32, 64}, 1), DataType::BFLOAT16)), "[copy] input_b must have the shape");
  EXPECT_INVALID(copy(x, upload(random_values({32, 32}, 1), DataType::FLOAT32)), "[copy] input_b must have the shape");
  EXPECT_INVALID(copy(x, Tensor()), "received BFLOAT16 [32, 32] TILE DRAM INTERLEAVED and none");
  EXPECT_INVALID(to_memory_config(Tensor(), kL1Interleaved), "[to_memory_config]");
}

} // namespace
} // namespace tessera::ops
