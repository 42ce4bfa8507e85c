#include "tessera/ops/conv/conv2d.hpp"

#include <random>

#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tests/ops/naive_vision.hpp"

namespace tessera::ops {
namespace {

using tensor::rows_of;

/// As rows [O, everything else].
tensor::HostRows filters(const HostTensor& weight) {
  HostTensor rows = weight;
  rows.shape = {weight.shape[0], weight.shape.volume() / weight.shape[0]};
  return rows_of(std::move(rows));
}

/// A weight [O, C / groups, kh, kw] on the device, and the values that it holds there.
struct PreparedWeight {
  Tensor tensor;
  HostTensor stored;
};

class Conv2d : public OpsTest {
 protected:
  PreparedWeight prepare(const HostTensor& weight, const Conv2dOptions& options, DataType dtype) const {
    const ConvChannels channels(options.in_channels, options.out_channels, options.groups);
    const tensor::HostRows rows = prepare_conv_weights(filters(weight), channels, options.kernel_size);
    const TensorSpec spec{{1, 1, rows.columns, rows.rows}, dtype, Layout::TILE, kDramInterleaved};
    PreparedWeight result{tensor::from_host_transposed(*device, rows, spec, "weight"), weight};
    const HostTensor back = to_host(result.tensor);
    const std::int64_t taps = options.kernel_size.height * options.kernel_size.width;
    for (std::int64_t o = 0; o < options.out_channels; ++o) {
      const std::int64_t shift = channels.first_of_output(o) - channels.first(o / kTileWidth);
      for (std::int64_t c = 0; c < channels.of_group(); ++c) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          result.stored.data[static_cast<std::size_t>((o * channels.of_group() + c) * taps + tap)] =
              back.row(tap * channels.span() + shift + c)[static_cast<std::size_t>(o)];
        }
      }
    }
    return result;
  }

  struct Formats {
    DataType input = DataType::BFLOAT16;
    DataType weight = DataType::BFLOAT16;
    DataType output = DataType::BFLOAT16;
  };
  /// Runs a convolution of random values with all that can follow it, and compares it with its definition.
  void expect_definition(Conv2dOptions options, const Formats& formats, std::uint32_t seed) const {
    const SlidingWindow window = options.window();
    const HostTensor images = random_values({1, 1, window.input_rows(), options.in_channels}, seed);
    const HostTensor weight = random_values({options.out_channels, options.in_channels / options.groups,
                                             window.kernel_size.height, window.kernel_size.width},
                                            seed + 1);
    const HostTensor bias = random_values({1, 1, 1, options.out_channels}, seed + 2);
    const HostTensor residual = random_values({1, 1, window.output_rows(), options.out_channels}, seed + 3);
    const PreparedWeight prepared = prepare(weight, options, formats.weight);
    const Tensor input = upload(images, formats.input);
    const HostTensor stored_images = rounded(images, formats.input);
    options.dtype = formats.output;

    const Tensor plain = conv2d(input, prepared.tensor, options);
    EXPECT_EQ(plain.shape(), (Shape{1, 1, window.output_rows(), options.out_channels}));
    expect_close(to_host(plain), naive_conv2d(stored_images, prepared.stored, nullptr, nullptr, options),
                 formats.output);
    expect_zero_padding(plain);

    options.bias_tensor = upload(bias, DataType::BFLOAT16);
    options.residual = upload(residual, DataType::BFLOAT16);
    options.activation = Activation::RELU;
    const HostTensor stored_bias = rounded(bias, DataType::BFLOAT16);
    const HostTensor stored_residual = rounded(residual, DataType::BFLOAT16);
    const Tensor fused = conv2d(input, prepared.tensor, options);
    expect_close(to_host(fused), naive_conv2d(stored_images, prepared.stored, &stored_bias, &stored_residual, options),
                 formats.output);
    expect_zero_padding(fused);
  }
};

TEST_F(Conv2d, AgreesWithItsDefinitionInEveryFormat) {
  const Conv2dOptions options{.in_channels = 20,
                              .out_channels = 40,
                              .batch_size = 2,
                              .input_height = 7,
                              .input_width = 9,
                              .kernel_size = {3, 3},
                              .padding = {1, 1}};
  const Formats formats[] = {{DataType::FLOAT32, DataType::FLOAT32, DataType::FLOAT32},
                             {DataType::FLOAT32, DataType::BFLOAT16, DataType::FLOAT32},
                             {DataType::BFLOAT16, DataType::BFLOAT16, DataType::BFLOAT16},
                             {DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT16},
                             {DataType::BFLOAT8_B, DataType::BFLOAT8_B, DataType::BFLOAT8_B},
                             {DataType::BFLOAT16, DataType::BFLOAT4_B, DataType::FLOAT32},
                             {DataType::BFLOAT16, DataType::BFLOAT2_B, DataType::BFLOAT16}};
  for (const Formats& of_test : formats) {
    SCOPED_TRACE(fmt::format("{} x {}", to_string(of_test.input), to_string(of_test.weight)));
    expect_definition(options, of_test, 1);
  }
}

TEST_F(Conv2d, AgreesWithItsDefinitionForRandomWindows) {
  std::mt19937 random(5);
  const auto pick = [&random](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (std::uint32_t round = 0; round < 60; ++round) {
    constexpr std::int64_t kGroups[] = {1, 1, 2, 3, 5, 16};
    const std::int64_t groups = kGroups[pick(0, 5)];
    Conv2dOptions options{.in_channels = groups * pick(1, round % 3 == 0 ? 40 : 5),
                          .out_channels = groups * pick(1, round % 4 == 0 ? 40 : 6),
                          .batch_size = pick(1, 3),
                          .kernel_size = {pick(1, 4), pick(1, 4)},
                          .stride = {pick(1, 3), pick(1, 3)},
                          .padding = {pick(0, 3), pick(0, 3)},
                          .dilation = {pick(1, 3), pick(1, 3)},
                          .groups = groups};
    options.input_height = options.dilation.height * (options.kernel_size.height - 1) + pick(1, 7);
    options.input_width = options.dilation.width * (options.kernel_size.width - 1) + pick(1, 7);
    SCOPED_TRACE(fmt::format("round {}", round));
    const DataType dtype = round % 2 == 0 ? DataType::BFLOAT16 : DataType::FLOAT32;
    expect_definition(options, {dtype, dtype, dtype}, round);
  }
}

TEST_F(Conv2d, OfOnePixelWithoutStrideIsALinearLayer) {
  for (const std::int64_t channels : {std::int64_t{1}, std::int64_t{31}, std::int64_t{64}, std::int64_t{100}}) {
    expect_definition(
        {.in_channels = channels, .out_channels = 33, .batch_size = 2, .input_height = 9, .input_width = 4}, {}, 3);
  }
}

TEST_F(Conv2d, OfManyUnitsAgreesWithItsDefinition) {
  // Several blocks of rows and of columns.
  expect_definition({.in_channels = 8,
                     .out_channels = 70,
                     .batch_size = 1,
                     .input_height = 31,
                     .input_width = 30,
                     .kernel_size = {3, 3},
                     .padding = {1, 1}},
                    {}, 4);
}

TEST_F(Conv2d, ReadsInEveryColumnOfTilesTheChannelsOfItsGroups) {
  const ConvChannels depthwise(100, 100, 100);
  EXPECT_EQ(depthwise.span(), 32);
  EXPECT_EQ(depthwise.first(1), 32);
  EXPECT_EQ(depthwise.first(3), 68); // 96 .. 99, with those before them
  const ConvChannels wide(128, 128, 2);
  EXPECT_EQ(wide.span(), 64);
  EXPECT_EQ(wide.first(1), 0);
  EXPECT_EQ(wide.first(2), 64);
  EXPECT_INVALID(ConvChannels(9, 8, 2), "groups must divide");
}

TEST_F(Conv2d, AResultDoesNotDependOnTheBatchOrTheThreads) {
  const Conv2dOptions one{.in_channels = 40,
                          .out_channels = 48,
                          .batch_size = 1,
                          .input_height = 10,
                          .input_width = 11,
                          .kernel_size = {3, 3},
                          .stride = {2, 1},
                          .padding = {1, 1}};
  Conv2dOptions three = one;
  three.batch_size = 3;
  const HostTensor images = random_values({1, 1, 330, 40}, 8);
  const HostTensor weight = random_values({48, 40, 3, 3}, 9);
  const HostTensor all =
      to_host(conv2d(upload(images, DataType::BFLOAT16), prepare(weight, three, DataType::BFLOAT8_B).tensor, three));
  HostTensor last = images;
  last.shape = {1, 1, 110, 40};
  last.data.erase(last.data.begin(), last.data.begin() + 220 * 40);
  const auto other = runtime::MeshDevice::open({.threads = 1});
  const tensor::HostRows rows = prepare_conv_weights(filters(weight), {40, 48, 1}, {3, 3});
  const HostTensor alone = to_host(conv2d(
      to_device(*other, last, DataType::BFLOAT16, kDramInterleaved),
      tensor::from_host_transposed(
          *other, rows, {{1, 1, rows.columns, rows.rows}, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved}, "w"),
      one));
  EXPECT_EQ(alone.data,
            std::vector<float>(all.data.end() - static_cast<std::ptrdiff_t>(alone.data.size()), all.data.end()));
}

TEST_F(Conv2d, OfFoldedImagesIsTheStridedConvolution) {
  // The first layer of a ResNet: 7x7, stride 2, padding 3.
  const HostTensor planes = random_values({2, 3, 18, 14}, 11);
  const HostTensor weight = random_values({20, 3, 7, 7}, 12);
  HostTensor pixels{{1, 1, 2 * 18 * 14, 3}, std::vector<float>(planes.data.size())};
  for (std::size_t i = 0; i < planes.data.size(); ++i) {
    const std::size_t plane = 18 * 14;
    pixels.data[(i / (3 * plane) * plane + i % plane) * 3 + i / plane % 3] = planes.data[i];
  }
  const Conv2dOptions strided{.in_channels = 3,
                              .out_channels = 20,
                              .batch_size = 2,
                              .input_height = 18,
                              .input_width = 14,
                              .kernel_size = {7, 7},
                              .stride = {2, 2},
                              .padding = {3, 3}};
  const Tensor input = tensor::from_host(
      *device, rows_of(planes), {planes.shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "planes");
  const Tensor folded = fold(input, {.stride = {2, 2}, .padding = {3, 3}, .use_transpose_as_fold = true});
  EXPECT_EQ(folded.shape(), (Shape{1, 1, 2 * 12 * 10, 12}));
  const Conv2dOptions options{.in_channels = 12,
                              .out_channels = 20,
                              .batch_size = 2,
                              .input_height = 12,
                              .input_width = 10,
                              .kernel_size = {4, 4},
                              .dtype = DataType::FLOAT32};
  const tensor::HostRows rows =
      prepare_conv_weights(fold_conv_weights(filters(weight), 3, {7, 7}, {2, 2}), {12, 20, 1}, {4, 4});
  const Tensor device_weight = tensor::from_host_transposed(
      *device, rows, {{1, 1, rows.columns, rows.rows}, DataType::FLOAT32, Layout::TILE, kDramInterleaved}, "weight");
  expect_close(to_host(conv2d(folded, device_weight, options)), naive_conv2d(pixels, weight, nullptr, nullptr, strided),
               DataType::FLOAT32);
}

TEST_F(Conv2d, OfAFoldedBatchNormIsTheConvolutionAndTheNorm) {
  const HostTensor weight = random_values({6, 4, 1, 1}, 1);
  HostTensor variance = random_values({1, 6}, 2);
  for (float& value : variance.data) value = value * value + 0.1F;
  const HostTensor gamma = random_values({1, 6}, 3);
  const HostTensor beta = random_values({1, 6}, 4);
  const HostTensor mean = random_values({1, 6}, 5);
  const FoldedConv folded = fold_batch_norm(filters(weight), {.weight = rows_of(gamma),
                                                              .bias = rows_of(beta),
                                                              .running_mean = rows_of(mean),
                                                              .running_var = rows_of(variance),
                                                              .epsilon = 1e-3F});
  for (std::int64_t o = 0; o < 6; ++o) {
    const auto i = static_cast<std::size_t>(o);
    const double scale = double{gamma.data[i]} / std::sqrt(double{variance.data[i]} + double{1e-3F});
    float bias = 0;
    folded.bias.read(0, o, 1, &bias);
    EXPECT_NEAR(bias, beta.data[i] - mean.data[i] * scale, 1e-6 * (1 + std::fabs(mean.data[i] * scale)));
    for (std::int64_t c = 0; c < 4; ++c) {
      float value = 0;
      folded.weight.read(o, c, 1, &value);
      EXPECT_FLOAT_EQ(value, static_cast<float>(weight.data[static_cast<std::size_t>(o * 4 + c)] * scale));
    }
  }
}

TEST_F(Conv2d, RecordsItsWorkItsShardsAndTheirHalo) {
  const Conv2dOptions options{.in_channels = 64,
                              .out_channels = 64,
                              .batch_size = 1,
                              .input_height = 56,
                              .input_width = 56,
                              .kernel_size = {3, 3},
                              .padding = {1, 1},
                              .activation = Activation::RELU};
  const Tensor input = random({1, 1, 56 * 56, 64}, 1);
  const Tensor weight = prepare(random_values({64, 64, 3, 3}, 2), options, DataType::BFLOAT8_B).tensor;
  const RecordKeeper keeper(*device);
  const Tensor output = conv2d(input, weight, options);
  device->synchronize();
  ASSERT_EQ(keeper.records.size(), 1U);
  const OpRecord& record = keeper.records.front();
  EXPECT_EQ(record.name, "conv2d");
  EXPECT_EQ(record.work.matmul_flops, 2 * 56 * 56 * 64 * 64 * 9);
  EXPECT_EQ(record.work.dram_read_bytes, input.spec().size_bytes() + weight.spec().size_bytes());
  EXPECT_EQ(record.work.dram_write_bytes, output.spec().size_bytes());
  const auto attribute = [&record](std::string_view name) {
    for (const auto& [key, value] : record.attributes) {
      if (key == name) return value;
    }
    return AttributeValue{};
  };
  // 98 rows of tiles over the 64 cores of an n150: 49 cores with two each.
  EXPECT_EQ(attribute("shard_layout"), AttributeValue{std::string("HEIGHT_SHARDED")});
  EXPECT_EQ(attribute("num_cores_nhw"), AttributeValue{std::int64_t{49}});
  EXPECT_EQ(attribute("shard_height"), AttributeValue{std::int64_t{64}});
  // A core needs a row of pixels and one more above its own and as many below, but at the image's ends; the one more
  // falls away for the twelve whose share begins or ends with a row.
  EXPECT_EQ(attribute("halo_bytes"), AttributeValue{std::int64_t{(2 * 48 * 57 - 12) * 64 * 2}});
}

TEST_F(Conv2d, RefusesWhatDoesNotFit) {
  const Conv2dOptions options{
      .in_channels = 8, .out_channels = 8, .input_height = 4, .input_width = 4, .kernel_size = {3, 3}};
  const Tensor input = random({1, 1, 16, 8}, 1);
  const Tensor weight = prepare(random_values({8, 8, 3, 3}, 2), options, DataType::BFLOAT16).tensor;
  const auto with = [&](auto change) {
    Conv2dOptions changed = options;
    change(changed);
    return changed;
  };
  EXPECT_INVALID(conv2d(input, weight, with([](auto& o) { o.batch_size = 2; })), "[conv2d] input_tensor");
  EXPECT_INVALID(conv2d(input, weight, with([](auto& o) { o.kernel_size = {2, 3}; })), "[conv2d] weight_tensor");
  EXPECT_INVALID(conv2d(input, weight, with([](auto& o) { o.dilation = {2, 2}; })), "must fit the padded image");
  EXPECT_INVALID(conv2d(input, weight, with([](auto& o) { o.stride = {0, 1}; })), "must be 1 or more");
  EXPECT_INVALID(conv2d(input, weight, with([](auto& o) { o.groups = 3; })), "groups must divide");
  EXPECT_INVALID(conv2d(input, weight, with([&](auto& o) { o.residual = input; })), "[conv2d] residual");
  EXPECT_INVALID(conv2d(input, weight, with([&](auto& o) { o.bias_tensor = input; })), "[conv2d] bias_tensor");
}

} // namespace
} // namespace tessera::ops
