#include "tessera/metrics/comparison.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::metrics {
namespace {

using Values = std::vector<float>;

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();
const double kInfinite = std::numeric_limits<double>::infinity();

TEST(Pcc, EqualsTheHandComputedValue) {
  // Deviations from the means 2.5 and 3: (-1.5, -0.5, 0.5, 1.5) and (-2, 0, -1, 3). Covariance 3 + 0 - 0.5 + 4.5 = 7,
  // variances 5 and 14.
  EXPECT_NEAR(pcc(Values{1, 2, 3, 4}, Values{1, 3, 2, 6}), 7.0 / std::sqrt(5.0 * 14.0), 1e-15);
}

TEST(Pcc, IgnoresScaleAndOffset) {
  EXPECT_NEAR(pcc(Values{1, 2, 5}, Values{12, 14, 20}), 1.0, 1e-15);
}

TEST(Pcc, IsMinusOneForTheNegative) {
  EXPECT_NEAR(pcc(Values{1, -2, 3}, Values{-1, 2, -3}), -1.0, 1e-15);
}

TEST(Pcc, KeepsItsPrecisionUnderALargeOffset) {
  // One pass of sums in float would leave noise here.
  EXPECT_NEAR(pcc(Values{100001, 100002, 100003, 100004}, Values{100001, 100003, 100002, 100006}),
              7.0 / std::sqrt(70.0), 1e-12);
}

TEST(Pcc, FollowsCompPccForNan) {
  EXPECT_EQ(pcc(Values{kNan, kNan}, Values{kNan, kNan}), 1.0);
  EXPECT_EQ(pcc(Values{1, 2}, Values{kNan, kNan}), 0.0);
  EXPECT_EQ(pcc(Values{kNan, kNan}, Values{1, 2}), 0.0);
}

TEST(Pcc, CountsNanAndInfinityAsZero) {
  EXPECT_EQ(pcc(Values{1, 2, kNan, 4}, Values{1, 3, -kInf, 6}), pcc(Values{1, 2, 0, 4}, Values{1, 3, 0, 6}));
  EXPECT_EQ(pcc(Values{1, kInf}, Values{1, 0}), 1.0);
}

TEST(Pcc, IsZeroWhenExactlyOneSideIsZero) {
  EXPECT_EQ(pcc(Values{1, 2, 3}, Values{0, 0, 0}), 0.0);
  EXPECT_EQ(pcc(Values{0, 0, 0}, Values{1, 2, 3}), 0.0);
  EXPECT_EQ(pcc(Values{0, 0, 0}, Values{0, -0.0f, 0}), 1.0);
}

TEST(Pcc, IsOneWhenASideIsConstant) {
  EXPECT_EQ(pcc(Values{1, 2, 3}, Values{0.1f, 0.1f, 0.1f}), 1.0);
  EXPECT_EQ(pcc(Values{5}, Values{7}), 1.0);
}

TEST(Pcc, IsOneForNothing) {
  EXPECT_EQ(pcc(Values{}, Values{}), 1.0);
}

TEST(Pcc, SurvivesVeryLargeAndVerySmallValues) {
  EXPECT_NEAR(pcc(Values{1e38f, -1e38f, 3e38f}, Values{1e-38f, -1e-38f, 3e-38f}), 1.0, 1e-7);
}

TEST(MaxAbsError, IsTheLargestDifference) {
  EXPECT_EQ(max_abs_error(Values{1, -2, 3}, Values{1.5f, 2, 3}), 4.0);
}

TEST(MaxAbsError, IsInfiniteWhereOnlyOneSideIsFinite) {
  EXPECT_EQ(max_abs_error(Values{1, 2}, Values{1, kNan}), kInfinite);
  EXPECT_EQ(max_abs_error(Values{kInf, 2}, Values{1, 2}), kInfinite);
  EXPECT_EQ(max_abs_error(Values{kInf}, Values{-kInf}), kInfinite);
  EXPECT_EQ(max_abs_error(Values{kInf, kNan, 1}, Values{kInf, kNan, 3}), 2.0);
}

TEST(RelativeFrobeniusError, EqualsTheHandComputedValue) {
  // Differences (0, 3), norm of (3, 4) is 5.
  EXPECT_DOUBLE_EQ(relative_frobenius_error(Values{3, 4}, Values{3, 7}), 3.0 / 5.0);
}

TEST(RelativeFrobeniusError, HandlesAZeroReference) {
  EXPECT_EQ(relative_frobenius_error(Values{0, 0}, Values{0, 0}), 0.0);
  EXPECT_EQ(relative_frobenius_error(Values{0, 0}, Values{0, 1}), kInfinite);
}

TEST(RelativeFrobeniusError, IsInfiniteWhereOnlyOneSideIsFinite) {
  EXPECT_EQ(relative_frobenius_error(Values{1, 2}, Values{1, kNan}), kInfinite);
}

TEST(Compare, SeesWhatPccDoesNot) {
  const TensorComparison comparison = compare(Values{1, 2, 3}, Values{2, 4, 6});
  EXPECT_NEAR(comparison.pcc, 1.0, 1e-15);
  EXPECT_EQ(comparison.max_abs_error, 3.0);
  EXPECT_DOUBLE_EQ(comparison.relative_frobenius_error, 1.0);
}

TEST(Compare, RefusesDifferentSizes) {
  EXPECT_THROW(compare(Values{1, 2}, Values{1}), base::InvalidArgument);
  EXPECT_THROW(max_abs_error(Values{1, 2}, Values{1}), base::InvalidArgument);
  EXPECT_THROW(relative_frobenius_error(Values{}, Values{1}), base::InvalidArgument);
}

} // namespace
} // namespace tessera::metrics
