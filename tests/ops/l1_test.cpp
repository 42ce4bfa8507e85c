// Circular buffers against the tensors in L1: what would not run on the card does not run here.

#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

class L1Test : public OpsTest {
 protected:
  std::int64_t room() const {
    const auto& layout = device->allocator(BufferType::L1).layout();
    return layout.end - layout.begin;
  }
  /// A tensor in L1 that leaves `free_bytes` of each core.
  Tensor fill(std::int64_t free_bytes) const {
    const std::int64_t tile = tile_bytes(DataType::BFLOAT16);
    const std::int64_t tiles = (room() - free_bytes) / tile * device->board().arch.worker_cores();
    const TensorSpec spec{{1, 1, 32, 32 * tiles}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved};
    return Tensor::allocate(*device, spec, "ballast");
  }
  Tensor operand() const { return upload(random_values({1, 1, 32, 64}, 1), DataType::BFLOAT16); }
};

TEST_F(L1Test, AnOpWhoseCircularBuffersReachATensorIsRefusedWithTheMap) {
  const Tensor x = operand();
  Tensor ballast = fill(3 * 4096 - 2048); // an addition has three buffers of two tiles
  try {
    add(x, x);
    FAIL() << "must be refused";
  } catch (const base::OutOfMemory& error) {
    const std::string text = error.what();
    EXPECT_THAT(text, HasSubstr("[add] the circular buffers of a core must end below the tensors"));
    EXPECT_THAT(text, HasSubstr("they take 12288 bytes"));
    EXPECT_THAT(text, HasSubstr("input_tensor_a: 2 x 2048 bytes of BFLOAT16"));
    EXPECT_THAT(text, HasSubstr("ballast: "));
    EXPECT_THAT(text, HasSubstr("put them into DRAM"));
  }
  ballast = {};
  EXPECT_NO_THROW(add(x, x));
}

TEST_F(L1Test, AnOpThatHasJustEnoughRoomRuns) {
  const Tensor x = operand();
  const Tensor ballast = fill(3 * 4096);
  EXPECT_NO_THROW(add(x, x));
  // The result of an op in L1 counts too: it is there when the program starts.
  EXPECT_THROW(add(x, x, {.memory_config = kL1Interleaved}), base::OutOfMemory);
}

TEST_F(L1Test, AMatmulNeedsMoreThanAnAddition) {
  const Tensor x = operand();
  const Tensor weight = upload(random_values({1, 1, 64, 4096}, 2), DataType::BFLOAT16);
  const Tensor ballast = fill(5 * 4096);
  EXPECT_NO_THROW(add(x, x));
  EXPECT_THROW(linear(x, weight, {}), base::OutOfMemory);
}

TEST_F(L1Test, TheDeviceKnowsWhenItsL1WasFullest) {
  const Tensor x = operand();
  const Tensor ballast = fill(3 * 4096);
  device->reset_fullest_l1();
  add(x, x);
  const auto& fullest = device->fullest_l1();
  EXPECT_EQ(fullest.circular_buffer_bytes, 3 * 4096);
  EXPECT_GT(fullest.tensor_bytes, room() - 4 * 4096);
  EXPECT_LE(fullest.bytes(), room());
  EXPECT_EQ(fullest.place, "add");
  device->reset_fullest_l1();
  EXPECT_EQ(device->fullest_l1().bytes(), 0);
}

TEST_F(L1Test, RecordModeRefusesTheSame) {
  device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const TensorSpec spec{{1, 1, 32, 64}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  const Tensor x = Tensor::allocate(*device, spec, "x");
  const Tensor ballast = fill(4096);
  EXPECT_THROW(add(x, x), base::OutOfMemory);
}

} // namespace
} // namespace tessera::ops
