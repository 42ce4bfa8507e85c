#include "tessera/nn/rope.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/tensor/host_values.hpp"

namespace tessera::nn {
namespace {

TEST(RopeFrequencies, AreAGeometricSequenceFromOne) {
  const std::vector<float> frequencies = rope_frequencies({.theta = 10000.0}, 64);
  ASSERT_EQ(frequencies.size(), 32U);
  EXPECT_EQ(frequencies[0], 1.0F);
  EXPECT_FLOAT_EQ(frequencies[16], 0.01F); // 10000^(-1/2)
  for (std::size_t i = 1; i < 32; ++i)
    EXPECT_NEAR(frequencies[i] / frequencies[i - 1], std::pow(10000.0, -1.0 / 32), 1e-6);
}

TEST(RopeFrequencies, LinearScalingDividesAll) {
  const std::vector<float> plain = rope_frequencies({.theta = 500.0}, 16);
  const std::vector<float> scaled = rope_frequencies({.theta = 500.0, .linear_factor = 4.0}, 16);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
}

// The three ranges of _compute_llama3_parameters at a frequency of 1, whose wavelength is 2 pi.
TEST(RopeFrequencies, Llama3KeepsShortWavelengthsStretchesLongOnesAndBlendsBetween) {
  const auto first = [](double original_max_positions) {
    const Llama3RopeScaling scaling{8.0, 1.0, 4.0, original_max_positions};
    return rope_frequencies({.llama3 = scaling}, 2).at(0);
  };
  constexpr double kWavelength = 2 * std::numbers::pi;
  EXPECT_EQ(first(5 * kWavelength), 1.0F);     // shorter than a quarter of the original context
  EXPECT_EQ(first(0.9 * kWavelength), 0.125F); // longer than all of it
  // smooth = (2 - 1) / (4 - 1) = 1/3: 2/3 of 1/8 and 1/3 of 1.
  EXPECT_FLOAT_EQ(first(2 * kWavelength), static_cast<float>(5.0 / 12));
  EXPECT_NEAR(first(4 * kWavelength), 1.0F, 1e-6);
  EXPECT_NEAR(first(1 * kWavelength), 0.125F, 1e-6);
}

TEST(RopeFrequencies, OfLongSequencesAreDividedByFactorsOfTheirOwn) {
  const RopeConfig config{.longrope = LongRopeScaling{{1.0, 2.0}, {4.0, 8.0}, 16}};
  const std::vector<float> plain = rope_frequencies({}, 4);
  EXPECT_THAT(rope_frequencies(config, 4), testing::ElementsAre(plain[0], plain[1] / 2));
  EXPECT_THAT(rope_frequencies(config, 4, SequenceKind::LONG), testing::ElementsAre(plain[0] / 4, plain[1] / 8));
}

TEST(RopeFrequencies, OfHeadsThatTurnInPartAreThoseOfTheNarrowerHead) {
  EXPECT_EQ(rope_frequencies({.rotary_dim = 48}, 64), rope_frequencies({}, 48));
}

TEST(RopeTables, HoldTheRowsOfLongSequencesBehindThoseOfShortOnes) {
  const auto device = runtime::MeshDevice::open();
  const RopeConfig config{.longrope = LongRopeScaling{{1.0}, {4.0}, 16}, .attention_factor = 2.0, .rotary_dim = 2};
  const RopeTables tables(*device, config, 4, 32, DataType::FLOAT32);
  EXPECT_TRUE(tables.depend_on_length());
  EXPECT_EQ(tables.first_row(16), 0);
  EXPECT_EQ(tables.first_row(17), 32);
  const TensorSpec spec{{1, 1, 2}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};
  const auto rows =
      tables.look_up(tensor::from_host(*device, std::vector<std::int32_t>{3, 35}, spec, "rows"), kDramInterleaved);
  const tensor::HostTensor cosines = tensor::to_host(rows.cos);
  const tensor::HostTensor sines = tensor::to_host(rows.sin);
  EXPECT_THAT(cosines.data,
              testing::Pointwise(testing::FloatEq(), {2 * std::cos(3.0F), 2 * std::cos(3.0F), 1.0F, 1.0F,
                                                      2 * std::cos(0.75F), 2 * std::cos(0.75F), 1.0F, 1.0F}));
  EXPECT_THAT(sines.data,
              testing::Pointwise(testing::FloatEq(), {2 * std::sin(3.0F), 2 * std::sin(3.0F), 0.0F, 0.0F,
                                                      2 * std::sin(0.75F), 2 * std::sin(0.75F), 0.0F, 0.0F}));
  // Where the cache holds no long sequence there is nothing to choose.
  EXPECT_FALSE(RopeTables(*device, config, 4, 16, DataType::FLOAT32).depend_on_length());
}

TEST(RopeFrequencies, OfLlama31RunFromOneToAnEighthOfTheUnscaledLast) {
  const RopeConfig config{.theta = 500000.0, .llama3 = Llama3RopeScaling{8.0, 1.0, 4.0, 8192}};
  const std::vector<float> scaled = rope_frequencies(config, 128);
  const std::vector<float> plain = rope_frequencies({.theta = 500000.0}, 128);
  int kept = 0;
  int stretched = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    kept += scaled[i] == plain[i];
    stretched += scaled[i] == plain[i] / 8;
    EXPECT_LE(scaled[i], plain[i]);
    EXPECT_GE(scaled[i], plain[i] / 8);
    EXPECT_LT(scaled[i], i == 0 ? 2.0F : scaled[i - 1]);
  }
  // Wavelength 2 pi 500000^(i/64) passes 8192/4 at i = 28.2 and 8192 at i = 34.99.
  EXPECT_EQ(kept, 29);
  EXPECT_EQ(stretched, 29);
}

TEST(RopeTables, HoldCosineAndSineOfEachPositionTwice) {
  const auto device = runtime::MeshDevice::open();
  const RopeConfig config{.theta = 100.0};
  const RopeTables tables(*device, config, 8, 50, DataType::FLOAT32);
  const auto positions = test::integers_to_device(*device, {1, 3, 1}, {0, 49, 7});
  const RopeTables::Rows rows = tables.look_up(positions, kL1Interleaved);
  EXPECT_EQ(rows.cos.shape(), (Shape{1, 3, 1, 8}));
  EXPECT_EQ(rows.cos.memory_config(), kL1Interleaved);
  const tensor::HostTensor cos = to_host(rows.cos);
  const tensor::HostTensor sin = to_host(rows.sin);
  const std::vector<float> frequencies = rope_frequencies(config, 8);
  for (const auto& [row, position] : {std::pair{0, 0}, {1, 49}, {2, 7}}) {
    for (std::size_t i = 0; i < 8; ++i) {
      const double angle = static_cast<float>(position) * frequencies[i / 2];
      EXPECT_NEAR(cos.row(row)[i], std::cos(angle), 1e-6);
      EXPECT_NEAR(sin.row(row)[i], std::sin(angle), 1e-6);
    }
  }
}

TEST(RopeTables, RoundToTheActivationsFormatOrBfloat16BesideBlocks) {
  const auto device = runtime::MeshDevice::open();
  const auto positions = test::integers_to_device(*device, {1, 1, 2}, {3, 9});
  const RopeTables exact(*device, {}, 16, 10, DataType::FLOAT32);
  const tensor::HostTensor expected =
      test::rounded(to_host(exact.look_up(positions, kDramInterleaved).cos), DataType::BFLOAT16);
  for (const DataType dtype : {DataType::BFLOAT16, DataType::BFLOAT8_B}) {
    const RopeTables tables(*device, {}, 16, 10, dtype);
    const tensor::Tensor cos = tables.look_up(positions, kDramInterleaved).cos;
    EXPECT_EQ(cos.dtype(), DataType::BFLOAT16);
    EXPECT_EQ(to_host(cos).data, expected.data);
  }
}

} // namespace
} // namespace tessera::nn
