#include "tessera/spec/shape.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Shape, IndexesFromBothEnds) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.rank(), 3U);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[2], 5);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_THAT(shape.extents(), ElementsAre(2, 3, 5));
}

TEST(Shape, VolumeIsTheProductAndOneForRankZero) {
  EXPECT_EQ((Shape{2, 3, 5}.volume()), 30);
  EXPECT_EQ((Shape{2, 0, 5}.volume()), 0);
  EXPECT_EQ(Shape().volume(), 1);
  // Beyond 32 bits.
  EXPECT_EQ((Shape{100'000, 100'000}.volume()), 10'000'000'000);
}

TEST(Shape, WithReplacesOneExtentOfACopy) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.with(-1, 7), (Shape{2, 3, 7}));
  EXPECT_EQ(shape.with(0, 7), (Shape{7, 3, 5}));
  EXPECT_EQ(shape, (Shape{2, 3, 5}));
}

TEST(Shape, EqualityComparesRankAndExtents) {
  EXPECT_NE((Shape{1, 2}), (Shape{2}));
  EXPECT_NE((Shape{2, 1}), (Shape{2}));
  EXPECT_EQ((Shape{2, 3}.with(1, 4)), (Shape{2, 4}));
}

TEST(Shape, PrintsAsAList) {
  EXPECT_EQ(to_string(Shape{1, 1, 32, 2048}), "[1, 1, 32, 2048]");
  EXPECT_EQ(fmt::format("{}", Shape{}), "[]");
}

TEST(Shape, RefusesNineDimensionsAndNegativeExtents) {
  EXPECT_EQ((Shape{1, 1, 1, 1, 1, 1, 1, 1}.rank()), 8U);
  const std::vector<std::int64_t> nine(9, 1);
  EXPECT_THAT([&] { Shape{std::span(nine)}; },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("at most 8 dimensions are possible; received 9")));
  EXPECT_THAT([&] { (Shape{2, -1}); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("received [2, -1]")));
}

TEST(RoundUp, GivesTheNextMultiple) {
  EXPECT_EQ(round_up(0, 32), 0);
  EXPECT_EQ(round_up(1, 32), 32);
  EXPECT_EQ(round_up(32, 32), 32);
  EXPECT_EQ(round_up(33, 32), 64);
  EXPECT_EQ(div_up(33, 32), 2);
  EXPECT_EQ(div_up(32, 32), 1);
}

} // namespace
} // namespace tessera
