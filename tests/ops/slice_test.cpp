#include "tessera/ops/data_movement/slice.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

class SliceOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, SliceOfFormat, kFloatFormats, test::dtype_name);

TEST_P(SliceOfFormat, CopiesRowsBitForBit) {
  const HostTensor values = random_values({1, 2, 70, 40}, 1);
  const HostTensor stored = rounded(values, GetParam());
  const Tensor input = upload(values, GetParam());
  for (const auto& [first, last] : {std::pair{0, 70}, {69, 70}, {0, 1}, {31, 33}, {5, 60}}) {
    const Tensor output = slice_rows(input, first, last);
    EXPECT_EQ(output.shape(), (Shape{1, 2, last - first, 40}));
    EXPECT_EQ(output.dtype(), GetParam());
    std::vector<float> expected;
    for (std::int64_t matrix = 0; matrix < 2; ++matrix) {
      const auto begin = stored.data.begin() + (matrix * 70 + first) * 40;
      expected.insert(expected.end(), begin, begin + (last - first) * 40);
    }
    EXPECT_EQ(to_host(output).data, expected) << first << ".." << last;
    expect_zero_padding(output);
  }
}

TEST_P(SliceOfFormat, CopiesTheRowsThatATensorNamesWhenItRuns) {
  const HostTensor values = random_values({1, 2, 70, 40}, 1);
  const Tensor input = upload(values, GetParam());
  const Tensor first = integers_to_device(*device, {1}, {-1});
  for (const auto& [begin, rows] : {std::pair{0, 70}, {69, 1}, {0, 1}, {31, 2}, {5, 55}}) {
    tensor::write(first, {begin});
    const Tensor output = slice_rows(input, first, rows);
    EXPECT_EQ(output.spec(), slice_rows(input, begin, begin + rows).spec());
    EXPECT_EQ(to_host(output).data, to_host(slice_rows(input, begin, begin + rows)).data) << begin << ", " << rows;
    expect_zero_padding(output);
  }
}

TEST_P(SliceOfFormat, CopiesColumns) {
  const HostTensor values = random_values({1, 2, 40, 100}, 1);
  const Tensor input = upload(values, GetParam());
  const HostTensor whole = to_host(input);
  for (const auto& [first, last] : {std::pair{0, 100}, {0, 33}, {32, 100}, {64, 65}}) {
    const Tensor output = slice_columns(input, first, last);
    EXPECT_EQ(output.shape(), Shape({1, 2, 40, last - first}));
    const HostTensor sliced = to_host(output);
    for (std::int64_t row = 0; row < 80; ++row) {
      EXPECT_THAT(sliced.row(row), testing::ElementsAreArray(whole.row(row).subspan(
                                       static_cast<std::size_t>(first), static_cast<std::size_t>(last - first))));
    }
    expect_zero_padding(output);
  }
}

using SliceTest = OpsTest;

TEST_F(SliceTest, RefusesColumnsThatAreNotThere) {
  const Tensor input = random({1, 1, 10, 32}, 1);
  EXPECT_INVALID(slice_columns(input, 0, 33), "[slice] columns first < last within 0..32 are required; received 0..33");
  EXPECT_INVALID(slice_columns(input, 5, 5), "received 5..5");
  EXPECT_INVALID(slice_columns(Tensor(), 0, 1), "[slice] input_tensor must be");
}

TEST_F(SliceTest, AFirstRowOutOfRangeFailsOnTheQueue) {
  const Tensor input = random({1, 1, 10, 32}, 1);
  for (const auto& [row, text] : {std::pair{-1, "received -1"}, {8, "received 8"}}) {
    slice_rows(input, integers_to_device(*device, {1}, {row}), 3);
    EXPECT_THAT([&] { device->synchronize(); },
                ThrowsMessage<base::DeviceError>(
                    testing::AllOf(HasSubstr("[slice]"), HasSubstr("the first row must be in 0..7"), HasSubstr(text))));
  }
}

TEST_F(SliceTest, RecordsTheTensorThatNamesTheFirstRow) {
  RecordKeeper keeper(*device);
  slice_rows(random({1, 1, 640, 64}, 1), integers_to_device(*device, {1}, {600}), 1);
  device->synchronize();
  const OpRecord& record = keeper.records.back();
  EXPECT_EQ(record.name, "slice");
  EXPECT_THAT(names_of(record.inputs), testing::ElementsAre("input_tensor", "first"));
  EXPECT_EQ(record.attributes, (Attributes{{"rows", std::int64_t{1}}}));
  EXPECT_EQ(record.work.dram_read_bytes, 2 * 2048);
}

TEST_F(SliceTest, RefusesAFirstRowThatIsNotOneInteger) {
  const Tensor input = random({1, 1, 10, 32}, 1);
  const Tensor first = integers_to_device(*device, {1}, {0});
  EXPECT_INVALID(slice_rows(input, integers_to_device(*device, {2}, {0, 1}), 1), "[slice] first must be INT32 [1]");
  EXPECT_INVALID(slice_rows(input, Tensor(), 1), "[slice] first must be INT32 [1]");
  EXPECT_INVALID(slice_rows(input, first, 0), "[slice] 1 to 10 rows are required; received 0");
  EXPECT_INVALID(slice_rows(input, first, 11), "received 11");
  EXPECT_INVALID(slice_rows(Tensor(), first, 1), "[slice] input_tensor must be");
}

TEST_F(SliceTest, TakesRowsThatAreAStepApart) {
  const HostTensor values = random_values({1, 1, 100, 40}, 1);
  const Tensor rows = slice_rows(upload(values, DataType::FLOAT32), 1, 100, 7);
  ASSERT_EQ(rows.shape(), (Shape{1, 1, 15, 40}));
  const HostTensor taken = to_host(rows);
  for (std::int64_t i = 0; i < 15; ++i)
    EXPECT_TRUE(std::equal(taken.row(i).begin(), taken.row(i).end(), values.row(1 + 7 * i).begin()));
  expect_zero_padding(rows);
}

TEST_F(SliceTest, RefusesRowsThatAreNotThere) {
  const Tensor input = random({1, 1, 10, 32}, 1);
  EXPECT_INVALID(slice_rows(input, 0, 11), "[slice] rows first < last within 0..10 and a step of 1 or more");
  EXPECT_INVALID(slice_rows(input, 0, 10, 0), "received 0..10 and 0");
  EXPECT_INVALID(slice_rows(input, 5, 5), "received 5..5");
  EXPECT_INVALID(slice_rows(input, -1, 5), "received -1..5");
  EXPECT_INVALID(slice_rows(Tensor(), 0, 1), "[slice] input_tensor must be");
}

} // namespace
} // namespace tessera::ops
