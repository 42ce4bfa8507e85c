#include "tessera/tensor/tensor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::tensor {
namespace {

using test::random_values;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class TensorTest : public testing::Test {
 protected:
  std::shared_ptr<runtime::MeshDevice> device = runtime::MeshDevice::open({.threads = 1});

  std::int64_t used() const { return device->allocator(BufferType::DRAM).usage().used_bytes; }
};

TEST_F(TensorTest, DefaultIsUndefined) {
  EXPECT_FALSE(Tensor().defined());
}

TEST_F(TensorTest, KnowsItsSpecAndPlace) {
  const TensorSpec spec{{1, 1, 32, 64}, DataType::BFLOAT8_B, Layout::TILE, kL1Interleaved};
  const Tensor tensor = Tensor::allocate(*device, spec, "x");
  EXPECT_TRUE(tensor.defined());
  EXPECT_EQ(tensor.spec(), spec);
  EXPECT_EQ(tensor.dtype(), DataType::BFLOAT8_B);
  EXPECT_EQ(tensor.layout(), Layout::TILE);
  EXPECT_EQ(tensor.memory_config(), kL1Interleaved);
  EXPECT_EQ(&tensor.device(), device.get());
  const OperandRecord record = tensor.record("weight");
  EXPECT_EQ(record.name, "weight");
  EXPECT_EQ(record.spec, spec);
  EXPECT_EQ(record.address, tensor.address());
}

TEST_F(TensorTest, CopiesShareMemoryWhichGoesWithTheLast) {
  Tensor tensor = test::to_device(*device, random_values({1, 1, 32, 32}, 1), DataType::FLOAT32);
  EXPECT_EQ(used(), 12 * 4096);
  {
    const Tensor copy = tensor;
    EXPECT_EQ(copy.address(), tensor.address());
    tensor = Tensor();
    EXPECT_EQ(used(), 12 * 4096);
  }
  EXPECT_EQ(used(), 0);
}

TEST_F(TensorTest, ViewsFindEachMatrixOfEachChip) {
  const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .threads = 1});
  const Tensor tensor =
      Tensor::allocate(*mesh, {{1, 3, 33, 40}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}, "x"); // 2 x 2 tiles
  const DeviceView view = tensor.view();
  EXPECT_EQ(view.tiles(0, 1).data - view.tiles(0).data, 4 * 2048);
  EXPECT_EQ(view.tiles(1, 2).data - view.tiles(0, 2).data, mesh->memory(BufferType::DRAM).chip_stride());
  EXPECT_EQ(view.tiles(0).tile_rows, 2);
  EXPECT_EQ(view.tiles(0).tile_columns, 2);
  EXPECT_EQ(view.tiles(0).dtype, DataType::BFLOAT16);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.bytes(0)) % 64, 0U);
}

TEST_F(TensorTest, ReshapeKeepsEveryElement) {
  const HostTensor values = random_values({1, 4, 33, 40}, 2);
  const Tensor tensor = test::to_device(*device, values, DataType::FLOAT32);
  for (const Shape& shape : {Shape{4, 1, 33, 40}, Shape{4, 33, 40}, Shape{2, 2, 33, 40}}) {
    const Tensor reshaped = tensor.reshape(shape);
    EXPECT_EQ(reshaped.shape(), shape);
    EXPECT_EQ(reshaped.address(), tensor.address());
    EXPECT_EQ(to_host(reshaped).data, values.data) << shape;
  }
  const HostTensor vector = random_values({40}, 3);
  EXPECT_EQ(to_host(test::to_device(*device, vector, DataType::FLOAT32).reshape({1, 1, 1, 40})).data, vector.data);
}

TEST_F(TensorTest, ReshapeOfRowMajorMayFoldRows) {
  const HostTensor values = random_values({2, 3, 40}, 2);
  const Tensor tensor =
      from_host(*device, rows_of(values), {values.shape, DataType::BFLOAT16, Layout::ROW_MAJOR, kDramInterleaved}, "x");
  EXPECT_EQ(to_host(tensor.reshape({6, 40})).data, to_host(tensor).data);
  EXPECT_EQ(to_host(tensor.reshape({1, 1, 6, 40})).data, to_host(tensor).data);
}

TEST_F(TensorTest, ReshapeRefusesWhatWouldMoveBytes) {
  const auto refused = [](const Tensor& tensor, const Shape& shape) {
    EXPECT_THAT([&] { tensor.reshape(shape); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("[reshape]"))) << shape;
  };
  // As many elements in as many tiles, but elsewhere.
  refused(test::to_device(*device, random_values({60, 40}, 1), DataType::FLOAT32), {40, 60});
  const Tensor tiles = test::to_device(*device, random_values({2, 32, 64}, 1), DataType::BFLOAT16);
  refused(tiles, {1, 64, 64});
  refused(tiles, {2, 64, 32});
  refused(tiles, {3, 32, 64});
  refused(tiles, {});
  const Tensor rows = test::integers_to_device(*device, {2, 3}, {1, 2, 3, 4, 5, 6});
  refused(rows, {3, 2});
  refused(rows, {6});
}

TEST_F(TensorTest, LeadingIsTheFirstPartInTheSameMemory) {
  const Tensor rows = test::integers_to_device(*device, {1, 3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(rows.leading(1, 2).shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(to_host_integers(rows.leading(1, 2)), (std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(to_host_integers(rows.leading(0, 1)), to_host_integers(rows));
  const Tensor row = test::integers_to_device(*device, {1, 1, 4}, {1, 2, 3, 4});
  write(row.leading(2, 2), {7, 8});
  EXPECT_EQ(to_host_integers(row), (std::vector<std::int32_t>{7, 8, 3, 4}));
  const auto refused = [](const Tensor& tensor, int dim, std::int64_t count) {
    EXPECT_THAT([&] { tensor.leading(dim, count); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("[leading]")));
  };
  refused(rows, 2, 1); // not the first bytes
  refused(rows, 1, 0);
  refused(rows, 1, 4);
  refused(rows, 3, 1);
  refused(test::to_device(*device, random_values({2, 32, 64}, 1), DataType::BFLOAT16), 0, 1);
}

TEST_F(TensorTest, SaysWhenTheCardIsFull) {
  const TensorSpec spec{{1, 1, 65536, 65536}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  const Tensor first = Tensor::allocate(*device, spec, "first");
  EXPECT_THAT([&] { Tensor::allocate(*device, spec, "second"); },
              ThrowsMessage<base::OutOfMemory>(HasSubstr("for second (activations)")));
}

} // namespace
} // namespace tessera::tensor
