#include "tessera/ops/eltwise/plus_one.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

using PlusOneTest = OpsTest;

TEST_F(PlusOneTest, CountsUpInPlaceAndLeavesNegativeEntriesAlone) {
  const Tensor positions = integers_to_device(*device, {5}, {0, -1, 41, -7, 100000});
  plus_one(positions);
  plus_one(positions);
  EXPECT_EQ(tensor::to_host_integers(positions), (std::vector<std::int32_t>{2, -1, 43, -7, 100002}));
}

TEST_F(PlusOneTest, TakesAnyShapeAndEveryChip) {
  const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .threads = 2});
  const Tensor values = integers_to_device(*mesh, {1, 2, 3}, {1, 2, 3, 4, 5, 6});
  plus_one(values);
  EXPECT_EQ(tensor::to_host_integers(values, 0), (std::vector<std::int32_t>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(tensor::to_host_integers(values, 1), (std::vector<std::int32_t>{2, 3, 4, 5, 6, 7}));
}

TEST_F(PlusOneTest, RecordsThatItSkipsNegativeEntries) {
  RecordKeeper keeper(*device);
  const Tensor positions = integers_to_device(*device, {5}, {0, 1, 2, 3, 4});
  plus_one(positions);
  device->synchronize();
  const OpRecord& record = keeper.records.back();
  EXPECT_EQ(record.name, "plus_one");
  EXPECT_EQ(record.inputs.front().address, record.outputs.front().address);
  EXPECT_EQ(record.attributes, (Attributes{{"skip_negative_entries", true}}));
}

TEST_F(PlusOneTest, RefusesWhatIsNotInt32InRowMajor) {
  EXPECT_INVALID(plus_one(Tensor()), "[plus_one] input_tensor must be INT32 in ROW_MAJOR; received none");
  EXPECT_INVALID(plus_one(random({1, 1, 2, 32}, 1)), "[plus_one] input_tensor must be INT32 in ROW_MAJOR");
  const Tensor ids = tensor::from_host(*device, std::vector<std::int32_t>{1, 2},
                                       {{2}, DataType::UINT32, Layout::ROW_MAJOR, kDramInterleaved}, "ids");
  EXPECT_INVALID(plus_one(ids), "received UINT32 [2]");
}

} // namespace
} // namespace tessera::ops
