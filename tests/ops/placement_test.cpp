#include "tessera/ops/placement.hpp"

#include <set>

#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/spec/sharding.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

class PlacementTest : public OpsTest {
 protected:
  Tensor sharded(const Tensor& x) const { return to_memory_config(x, kL1WidthSharded); }
  static std::string place(const Tensor& x) { return to_string(x.memory_config()); }
};

TEST_F(PlacementTest, OpsKeepTheShardsOfTheirInputAndEveryBit) {
  const Tensor x = random({1, 1, 5, 2048}, 1);
  const Tensor gamma = random({1, 1, 1, 2048}, 2);
  const auto forward = [&](const Tensor& in) { return gelu(add(rms_norm(in, gamma, {}), mul(in, 0.5F))); };
  const Tensor y = forward(sharded(x));
  EXPECT_EQ(place(y), "L1 WIDTH_SHARDED 32x64 on 4x8 cores");
  EXPECT_EQ(bits_of(to_host(y)), bits_of(to_host(forward(x))));
}

TEST_F(PlacementTest, AMatmulsOutputIsCutOverTheCoresOfItsInput) {
  const Tensor x = random({1, 1, 5, 128}, 1);
  const Tensor w = random({1, 1, 128, 700}, 2);
  const Tensor y = linear(sharded(x), w, {});
  EXPECT_EQ(place(y), "L1 WIDTH_SHARDED 32x192 on 1x4 cores"); // 22 tiles on 4 cores
  EXPECT_EQ(place(linear(sharded(x), w, {.memory_config = kL1WidthSharded})), place(y));
  EXPECT_EQ(place(linear(x, w, {.memory_config = kL1WidthSharded})), "L1 WIDTH_SHARDED 32x32 on 3x8 cores");
  EXPECT_EQ(place(linear(sharded(x), w, {.memory_config = kL1Interleaved})), "L1 INTERLEAVED");
  EXPECT_EQ(bits_of(to_host(y)), bits_of(to_host(linear(x, w, {}))));
}

TEST_F(PlacementTest, AWeightIsShardedInDramAlone) {
  const Tensor x = random({1, 1, 5, 128}, 1);
  const Tensor w = random({1, 1, 128, 768}, 2);
  const Tensor in_banks =
      to_memory_config(w, {TensorMemoryLayout::WIDTH_SHARDED, BufferType::DRAM, ShardSpec{1, 12, 128, 64}});
  EXPECT_EQ(bits_of(to_host(linear(sharded(x), in_banks, {}))), bits_of(to_host(linear(x, w, {}))));
  EXPECT_INVALID(linear(x, in_banks, {}), "[linear] a weight that is interleaved, or WIDTH_SHARDED in DRAM beside");
  EXPECT_INVALID(linear(sharded(x), sharded(w), {}), "[linear] a weight that is interleaved");
}

TEST_F(PlacementTest, EltwiseTakesOperandsOfDifferentShardsAndKeepsTheFirst) {
  const Tensor a = random({1, 1, 5, 256}, 1);
  const Tensor b = random({1, 1, 5, 256}, 2);
  const MemoryConfig two = create_sharded_memory_config({1, 1, 32, 256}, {1, 2}, TensorMemoryLayout::WIDTH_SHARDED);
  const Tensor sum = add(sharded(a), to_memory_config(b, two));
  EXPECT_EQ(place(sum), place(sharded(a)));
  EXPECT_EQ(bits_of(to_host(sum)), bits_of(to_host(add(a, b))));
}

TEST_F(PlacementTest, AShardSpecOfAnotherShapeIsRefused) {
  const Tensor x = random({1, 1, 5, 256}, 1);
  const MemoryConfig of_64 = create_sharded_memory_config({1, 1, 32, 64}, {1, 2}, TensorMemoryLayout::WIDTH_SHARDED);
  EXPECT_INVALID(mul(x, x, {.memory_config = of_64}), "8 shards on 2 cores");
}

TEST_F(PlacementTest, AnEmbeddingChoosesTheGrid) {
  const Tensor table = tensor::from_host(*device, tensor::rows_of(random_values({1, 1, 10, 4544}, 1)),
                                         {{1, 1, 10, 4544}, DataType::BFLOAT16, Layout::ROW_MAJOR, {}}, "table");
  const Tensor ids = integers_to_device(*device, {1, 1, 2}, {3, 9});
  EXPECT_EQ(place(embedding(ids, table, {.memory_config = kL1WidthSharded})), "L1 WIDTH_SHARDED 32x160 on 4x8 cores");
}

TEST_F(PlacementTest, ProgramsOfOtherShardsAreOtherPrograms) {
  const Tensor x = random({1, 1, 32, 256}, 1);
  const auto key = [](const Tensor& of) {
    const Operand operand{"x", of};
    return program_key("add", 0, Operands(&operand, 1), {});
  };
  const auto on = [&](const CoreGrid& grid) {
    return key(to_memory_config(x, create_sharded_memory_config(x.shape(), grid, TensorMemoryLayout::WIDTH_SHARDED)));
  };
  const std::set<std::uint64_t> keys{key(x),
                                     key(to_memory_config(x, kL1Interleaved)),
                                     on({1, 8}),
                                     on({2, 4}),
                                     on({1, 4}),
                                     key(to_memory_config(x, kL1BlockSharded)),
                                     key(to_memory_config(x, kL1HeightSharded))};
  EXPECT_EQ(keys.size(), 7U);
}

} // namespace
} // namespace tessera::ops
