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

using SliceTest = OpsTest;

TEST_F(SliceTest, RefusesRowsThatAreNotThere) {
  const Tensor input = random({1, 1, 10, 32}, 1);
  EXPECT_INVALID(slice_rows(input, 0, 11), "[slice] rows first < last within 0..10 are required; received 0..11");
  EXPECT_INVALID(slice_rows(input, 5, 5), "received 5..5");
  EXPECT_INVALID(slice_rows(input, -1, 5), "received -1..5");
  EXPECT_INVALID(slice_rows(Tensor(), 0, 1), "[slice] input_tensor must be");
}

} // namespace
} // namespace tessera::ops
