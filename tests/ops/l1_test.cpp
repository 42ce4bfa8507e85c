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
  const Tensor ballast = fill(3 * 4096);
  EXPECT_NO_THROW(add(x, x));
  EXPECT_THROW(linear(x, weight, {}), base::OutOfMemory);
}

TEST_F(L1Test, BlocksAreMadeSmallerWhereTensorsLeaveLittleRoom) {
  const Tensor x = operand();
  const Tensor weight = upload(random_values({1, 1, 64, 4096}, 2), DataType::BFLOAT16);
  const auto buffer_bytes = [&] {
    device->reset_fullest_l1();
    linear(x, weight, {});
    return device->fullest_l1().circular_buffer_bytes;
  };
  const std::int64_t preferred = buffer_bytes();
  Tensor ballast = fill(preferred - 4096);
  EXPECT_LT(buffer_bytes(), preferred - 4096);
  ballast = {};
  EXPECT_EQ(buffer_bytes(), preferred);
}

TEST_F(L1Test, ProgramsThatDifferInTheirOptionsHaveTheirOwnCircularBuffers) {
  const Tensor x = operand();
  const auto buffer_bytes = [&](Activation activation) {
    device->reset_fullest_l1();
    add(x, x, {.input_tensor_a_activation = activation});
    return device->fullest_l1().circular_buffer_bytes;
  };
  const std::int64_t without = buffer_bytes(Activation::NONE);
  EXPECT_GT(buffer_bytes(Activation::SILU), without); // keeps what lies between the two
  EXPECT_EQ(buffer_bytes(Activation::NONE), without);
}

TEST_F(L1Test, AReplayMayNotOverwriteATensorWithItsCircularBuffers) {
  const Tensor x = operand();
  Tensor y = add(x, x);
  y = {};
  const runtime::Trace trace(device, 0, [&] { add(x, x); });
  EXPECT_NO_THROW(trace.execute(true));
  const Tensor ballast = fill(4096);
  try {
    trace.execute(true);
    FAIL() << "must be refused";
  } catch (const base::DeviceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("would overwrite ballast"));
    EXPECT_THAT(error.what(), HasSubstr("the trace's add writes"));
  }
}

TEST_F(L1Test, UnlimitedMemoryHasTheBoardsBlocks) {
  device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD, .unlimited_memory = true});
  const TensorSpec spec{{1, 1, 32, 16384}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved};
  std::vector<Tensor> more_than_l1;
  for (int i = 0; i < 200; ++i) more_than_l1.push_back(Tensor::allocate(*device, spec, "x"));
  const Tensor weight = Tensor::allocate(*device, {{1, 1, 16384, 16384}, DataType::BFLOAT16, Layout::TILE, {}}, "w");
  EXPECT_NO_THROW(linear(more_than_l1.front(), weight, {}));
  const ArchSpec& arch = device->board().arch;
  EXPECT_LT(device->fullest_l1().circular_buffer_bytes, arch.l1_bytes_per_core);
  EXPECT_EQ(device->capacity_bytes(BufferType::L1), arch.l1_bytes());
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
