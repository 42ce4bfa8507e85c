#include "tessera/ops/sampling/argmax.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<std::int32_t> expected_of(const HostTensor& values) {
  std::vector<std::int32_t> indices;
  const std::int64_t width = values.shape[-1];
  for (std::int64_t row = 0; row < values.shape.volume() / width; ++row) {
    const auto logits = values.row(row);
    std::size_t best = 0;
    for (std::size_t i = 1; i < logits.size(); ++i) {
      if (logits[i] > logits[best] || (std::isnan(logits[best]) && !std::isnan(logits[i]))) best = i;
    }
    indices.push_back(static_cast<std::int32_t>(best));
  }
  return indices;
}

class ArgmaxOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, ArgmaxOfFormat, kFloatFormats, test::dtype_name);

TEST_P(ArgmaxOfFormat, FindsTheLowestIndexOfTheLargest) {
  // 20000 is more than one unit of a row; coarse formats have many equal maxima.
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{1, 1, 5, 40}, Shape{1, 1, 33, 65}, Shape{2, 3, 2, 100},
                             Shape{7, 300}, Shape{1, 1, 3, 20000}}) {
    const HostTensor values = random_values(shape, 3);
    const Tensor output = argmax(upload(values, GetParam()));
    EXPECT_EQ(output.spec().dtype, DataType::INT32);
    EXPECT_EQ(output.spec().layout, Layout::ROW_MAJOR);
    EXPECT_EQ(output.shape(), Shape(shape.extents().first(shape.rank() - 1)));
    EXPECT_EQ(tensor::to_host_integers(output), expected_of(rounded(values, GetParam()))) << shape;
  }
}

using ArgmaxTest = OpsTest;

TEST_F(ArgmaxTest, RanksNaNLastAndTakesTheFirstOfEquals) {
  constexpr std::int64_t kWidth = 9000;
  HostTensor values{{1, 1, 6, kWidth}, std::vector<float>(6 * kWidth, -1.0F)};
  const auto at = [&](std::size_t row, std::size_t column) -> float& { return values.data[row * kWidth + column]; };
  at(0, 8999) = kInf;
  at(1, 64) = at(1, 63) = at(1, 8500) = 5.0F;
  at(2, 0) = kNaN; // the first -1 follows
  std::fill_n(&at(3, 0), kWidth, kNaN);
  std::fill_n(&at(4, 0), kWidth, kNaN);
  at(4, 8700) = -kInf;
  at(5, 100) = 0.0F;
  at(5, 99) = -0.0F;
  EXPECT_EQ(tensor::to_host_integers(argmax(upload(values, DataType::FLOAT32))),
            (std::vector<std::int32_t>{8999, 63, 1, 0, 8700, 99}));
}

TEST_F(ArgmaxTest, RunsOnEveryChipAndWithAnyNumberOfThreads) {
  const HostTensor values = random_values({1, 1, 3, 30000}, 4);
  const std::vector<std::int32_t> expected = expected_of(values);
  for (const int threads : {1, 2, 3}) {
    const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .threads = threads});
    const Tensor output = argmax(to_device(*mesh, values, DataType::FLOAT32));
    EXPECT_EQ(tensor::to_host_integers(output, 0), expected);
    EXPECT_EQ(tensor::to_host_integers(output, 1), expected);
  }
}

TEST_F(ArgmaxTest, NamesItsOperandsInItsRecord) {
  RecordKeeper keeper(*device);
  argmax(random({1, 1, 3, 40}, 1));
  device->synchronize();
  const OpRecord& record = keeper.records.back();
  EXPECT_EQ(record.name, "argmax");
  EXPECT_THAT(names_of(record.inputs), testing::ElementsAre("input_tensor"));
  EXPECT_THAT(names_of(record.outputs), testing::ElementsAre("output"));
  EXPECT_EQ(record.work.vector_flops, 120);
  EXPECT_EQ(record.work.dram_read_bytes, 2 * 2048);
}

TEST_F(ArgmaxTest, RefusesWhatIsNotATileTensorOfFloats) {
  EXPECT_INVALID(argmax(Tensor()), "[argmax] input_tensor must be a floating-point tensor");
  EXPECT_INVALID(argmax(integers_to_device(*device, {2, 2}, {1, 2, 3, 4})), "[argmax] input_tensor must be");
}

} // namespace
} // namespace tessera::ops
