#include "tessera/ops/data_movement/concat.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/pool/upsample.hpp"
#include "tests/ops/naive_vision.hpp"

namespace tessera::ops {
namespace {

using ImageShape = OpsTest;

TEST_F(ImageShape, FoldMakesBlocksOfPixelsOnePixel) {
  const HostTensor images = random_values({1, 1, 2 * 6 * 4, 5}, 1);
  const FoldOptions options{.stride = {3, 2}, .batch_size = 2, .input_height = 6, .input_width = 4};
  const Tensor folded = fold(upload(images, DataType::FLOAT32), options);
  ASSERT_EQ(folded.shape(), (Shape{1, 1, 2 * 2 * 2, 30}));
  const HostTensor result = to_host(folded);
  const SlidingWindow window{.batch_size = 2, .input_height = 6, .input_width = 4};
  for (std::int64_t row = 0; row < 8; ++row) {
    for (std::int64_t i = 0; i < 30; ++i) {
      EXPECT_EQ(result.row(row)[static_cast<std::size_t>(i)],
                pixel(images, window, row / 4, row / 2 % 2 * 3 + i / 10, row % 2 * 2 + i / 5 % 2, i % 5));
    }
  }
  expect_zero_padding(folded);
}

TEST_F(ImageShape, FoldReadsPlanesAndPads) {
  const HostTensor planes = random_values({1, 2, 3, 3}, 2);
  const Tensor input = tensor::from_host(*device, tensor::rows_of(planes),
                                         {planes.shape, DataType::BFLOAT16, Layout::ROW_MAJOR, kDramInterleaved}, "x");
  const HostTensor result = to_host(
      fold(input, {.stride = {5, 5}, .padding = {1, 1}, .use_transpose_as_fold = true, .dtype = DataType::FLOAT32}));
  ASSERT_EQ(result.shape, (Shape{1, 1, 1, 50}));
  for (std::int64_t i = 0; i < 50; ++i) {
    const std::int64_t y = i / 10 - 1;
    const std::int64_t x = i / 2 % 5 - 1;
    const bool inside = 0 <= y && y < 3 && 0 <= x && x < 3;
    const float value = inside ? planes.data[static_cast<std::size_t>((i % 2 * 3 + y) * 3 + x)] : 0.0F;
    EXPECT_EQ(result.data[static_cast<std::size_t>(i)], numerics::from_bfloat16(numerics::to_bfloat16(value)));
  }
  EXPECT_INVALID(fold(input, {.stride = {2, 2}, .use_transpose_as_fold = true}), "must divide the padded image");
}

TEST_F(ImageShape, ConcatPutsTheSameRowsBeforeEverySequence) {
  const HostTensor token = random_values({1, 1, 2, 40}, 1);
  const HostTensor patches = random_values({1, 1, 3 * 33, 40}, 2);
  const Tensor tokens = concat_rows(upload(token, DataType::FLOAT32), upload(patches, DataType::FLOAT32), 3);
  ASSERT_EQ(tokens.shape(), (Shape{1, 1, 3 * 35, 40}));
  const HostTensor result = to_host(tokens);
  for (std::int64_t row = 0; row < 3 * 35; ++row) {
    const auto expected = row % 35 < 2 ? token.row(row % 35) : patches.row(row / 35 * 33 + row % 35 - 2);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), result.row(row).begin())) << row;
  }
  expect_zero_padding(tokens);
  EXPECT_INVALID(concat_rows(random({1, 1, 1, 32}, 1), random({1, 1, 8, 40}, 2), 2), "[concat] matrices");
}

TEST_F(ImageShape, NearestUpsamplingRepeatsPixels) {
  const HostTensor images = random_values({1, 1, 2 * 3 * 2, 40}, 3);
  const Tensor larger = upsample(upload(images, DataType::FLOAT32),
                                 {.batch_size = 2, .input_height = 3, .input_width = 2, .scale_factor = {2, 3}});
  ASSERT_EQ(larger.shape(), (Shape{1, 1, 2 * 6 * 6, 40}));
  const HostTensor result = to_host(larger);
  const SlidingWindow window{.batch_size = 2, .input_height = 3, .input_width = 2};
  for (std::int64_t row = 0; row < 72; ++row) {
    for (std::int64_t c = 0; c < 40; ++c) {
      EXPECT_EQ(result.row(row)[static_cast<std::size_t>(c)],
                pixel(images, window, row / 36, row / 6 % 6 / 2, row % 6 / 3, c));
    }
  }
  expect_zero_padding(larger);
}

TEST_F(ImageShape, BilinearUpsamplingWeighsTheFourNeighbours) {
  // One row of two pixels, 0 and 4, four times as wide: centres at 1/8, 3/8, ... of a pixel, held at the ends.
  const Tensor input = upload({{1, 1, 2, 1}, {0.0F, 4.0F}}, DataType::FLOAT32);
  const HostTensor result = to_host(
      upsample(input, {.input_height = 1, .input_width = 2, .scale_factor = {1, 4}, .mode = UpsampleMode::BILINEAR}));
  EXPECT_THAT(result.data, testing::ElementsAre(0.0F, 0.0F, 0.5F, 1.5F, 2.5F, 3.5F, 4.0F, 4.0F));
  EXPECT_INVALID(upsample(input, {.input_height = 2, .input_width = 2}), "[upsample] input_tensor");
}

} // namespace
} // namespace tessera::ops
