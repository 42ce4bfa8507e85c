#include "tessera/ops/pool/pool2d.hpp"

#include <random>

#include "tests/ops/naive_vision.hpp"

namespace tessera::ops {
namespace {

/// The windows of PyTorch's pools, value by value: body(image, first pixel, steps that begin in the padded image, c).
std::vector<Expected> naive_pool(const HostTensor& images, const Pool2dOptions& options, bool average) {
  const SlidingWindow window = options.window();
  const Extent2d out = window.output();
  std::vector<Expected> result;
  for (std::int64_t row = 0; row < window.output_rows(); ++row) {
    const std::int64_t image = row / (out.height * out.width);
    const std::int64_t top = row / out.width % out.height * window.stride.height - window.padding.height;
    const std::int64_t left = row % out.width * window.stride.width - window.padding.width;
    for (std::int64_t c = 0; c < options.channels; ++c) {
      double sum = 0;
      double largest = -std::numeric_limits<double>::infinity();
      std::int64_t inside = 0;
      std::int64_t padded = 0;
      for (std::int64_t i = 0; i < window.kernel_size.height * window.kernel_size.width; ++i) {
        const std::int64_t y = top + i / window.kernel_size.width * window.dilation.height;
        const std::int64_t x = left + i % window.kernel_size.width * window.dilation.width;
        if (y < window.input_height + window.padding.height && x < window.input_width + window.padding.width) ++padded;
        if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) continue;
        ++inside;
        sum += pixel(images, window, image, y, x, c);
        largest = std::max(largest, pixel(images, window, image, y, x, c));
      }
      const auto count =
          static_cast<double>(options.divisor_override.value_or(options.count_include_pad ? padded : inside));
      const double value = average ? sum / count : largest;
      result.push_back({value, average ? 1e-5 : 0});
    }
  }
  return result;
}

using Pool2d = OpsTest;

TEST_F(Pool2d, AgreesWithItsDefinitionForRandomWindows) {
  std::mt19937 random(9);
  const auto pick = [&random](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (std::uint32_t round = 0; round < 40; ++round) {
    Pool2dOptions options{.batch_size = pick(1, 3),
                          .channels = pick(1, 70),
                          .kernel_size = {pick(1, 4), pick(1, 4)},
                          .stride = {pick(1, 3), pick(1, 3)},
                          .ceil_mode = pick(0, 1) == 1,
                          .count_include_pad = pick(0, 1) == 1};
    options.padding = {pick(0, options.kernel_size.height / 2), pick(0, options.kernel_size.width / 2)};
    options.input_height = 2 * options.kernel_size.height + pick(1, 7);
    options.input_width = 2 * options.kernel_size.width + pick(1, 7);
    const DataType dtype = round % 2 == 0 ? DataType::BFLOAT16 : DataType::FLOAT32;
    const HostTensor images = random_values({1, 1, options.window().input_rows(), options.channels}, round);
    const Tensor input = upload(images, dtype);
    const HostTensor stored = rounded(images, dtype);
    SCOPED_TRACE(fmt::format("round {}", round));
    const Tensor mean = avg_pool2d(input, options);
    expect_close(to_host(mean), naive_pool(stored, options, true), dtype);
    expect_zero_padding(mean);
    options.dilation = {pick(1, 2), pick(1, 2)};
    const Tensor largest = max_pool2d(input, options);
    expect_close(to_host(largest), naive_pool(stored, options, false), dtype);
    expect_zero_padding(largest);
  }
}

TEST_F(Pool2d, DividesByTheDivisorAskedFor) {
  const Pool2dOptions options{.input_height = 4,
                              .input_width = 4,
                              .channels = 3,
                              .kernel_size = {2, 2},
                              .stride = {2, 2},
                              .divisor_override = 7,
                              .dtype = DataType::FLOAT32};
  const HostTensor images = random_values({1, 1, 16, 3}, 1);
  expect_close(to_host(avg_pool2d(upload(images, DataType::FLOAT32), options)), naive_pool(images, options, true),
               DataType::FLOAT32);
}

TEST_F(Pool2d, OfWholeImagesIsTheMeanOfEachChannel) {
  const HostTensor images = random_values({1, 1, 3 * 49, 40}, 4);
  const Tensor input = upload(images, DataType::BFLOAT16);
  const HostTensor stored = rounded(images, DataType::BFLOAT16);
  const Tensor mean = global_avg_pool2d(input, {.batch_size = 3, .dtype = DataType::FLOAT32});
  EXPECT_EQ(mean.shape(), (Shape{1, 1, 3, 40}));
  std::vector<Expected> expected;
  for (std::int64_t image = 0; image < 3; ++image) {
    for (std::size_t c = 0; c < 40; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < 49; ++i) sum += stored.row(image * 49 + i)[c];
      expected.push_back({sum / 49, 1e-6});
    }
  }
  expect_close(to_host(mean), expected, DataType::FLOAT32);
  expect_zero_padding(mean);
  EXPECT_INVALID(global_avg_pool2d(input, {.batch_size = 4}), "batch_size");
}

TEST_F(Pool2d, RefusesWhatDoesNotFit) {
  const Tensor input = random({1, 1, 16, 3}, 1);
  const Pool2dOptions options{.input_height = 4, .input_width = 4, .channels = 3, .kernel_size = {2, 2}};
  Pool2dOptions changed = options;
  changed.padding = {2, 0};
  EXPECT_INVALID(max_pool2d(input, changed), "half of kernel_size");
  changed = options;
  changed.channels = 4;
  EXPECT_INVALID(max_pool2d(input, changed), "[max_pool2d] input_tensor");
  changed = options;
  changed.dilation = {2, 2};
  EXPECT_INVALID(avg_pool2d(input, changed), "[avg_pool2d] dilation");
}

} // namespace
} // namespace tessera::ops
