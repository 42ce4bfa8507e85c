#include "tessera/generate/sampling.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::generate {
namespace {

TEST(Sampler, IsGreedyByDefault) {
  EXPECT_EQ(Sampler({}).sample(std::vector<float>{1.0F, 3.0F, 3.0F, 2.0F}, 0), 1);
}

TEST(Sampler, DrawsWhatTheDeviceDraws) {
  const std::vector<float> logits{0.1F, 0.3F, 0.2F, 0.5F, 0.4F};
  const Sampler sampler({.temperature = 0.75, .top_k = 4, .top_p = 0.875, .seed = 7});
  EXPECT_EQ(sampler.seed(), 7U);
  EXPECT_EQ(sampler.parameters().temperature, 0.75F);
  EXPECT_EQ(sampler.parameters().top_k, 4);
  EXPECT_EQ(sampler.parameters().top_p, 0.875F);
  for (int position = 0; position < 100; ++position) {
    EXPECT_EQ(sampler.sample(logits, position),
              ops::draw_token(logits, {.temperature = 0.75F, .top_k = 4, .top_p = 0.875F}, 7, position));
  }
}

TEST(Sampler, GivesTheSameTokensForTheSameSeed) {
  const std::vector<float> logits{0.1F, 0.3F, 0.2F, 0.5F, 0.4F};
  const Sampler first({.temperature = 1.0, .seed = 7});
  const Sampler second({.temperature = 1.0, .seed = 7});
  const Sampler other({.temperature = 1.0, .seed = 8});
  int differing = 0;
  for (int position = 0; position < 100; ++position) {
    const auto token = first.sample(logits, position);
    EXPECT_EQ(token, second.sample(logits, position));
    differing += token != other.sample(logits, position);
  }
  EXPECT_GT(differing, 20);
}

TEST(Sampler, TakesOptionsThatFp32CannotHold) {
  EXPECT_EQ(Sampler({.temperature = 1e-60}).parameters().temperature, 0.0F);
  EXPECT_GT(Sampler({.top_p = 1e-60}).parameters().top_p, 0.0F);
  EXPECT_EQ(Sampler({.top_k = std::int64_t{1} << 40}).parameters().top_k, std::numeric_limits<std::int32_t>::max());
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  EXPECT_THROW(Sampler({.temperature = -1.0}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.temperature = std::numeric_limits<double>::quiet_NaN()}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_k = -1}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_p = 0.0}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_p = 1.5}), base::InvalidArgument);
}

TEST(Sampler, ReportsLogitsThatAreNotFiniteAsABrokenModel) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Sampler({}).sample(std::vector<float>{nan, nan}, 0), base::DeviceError);
}

} // namespace
} // namespace tessera::generate
