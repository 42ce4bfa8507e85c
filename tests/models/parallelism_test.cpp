#include "tessera/models/parallelism.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"

namespace tessera::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

nn::DecoderConfig with_heads(std::int64_t heads, std::int64_t kv_heads) {
  nn::DecoderConfig config;
  config.heads = heads;
  config.kv_heads = kv_heads;
  return config;
}

std::vector<std::int64_t> lines(const std::string& board_name, const nn::DecoderConfig& config) {
  std::vector<std::int64_t> chips;
  for (const Parallelism& line : tensor_parallelisms(board(board_name), config)) chips.push_back(line.tp());
  return chips;
}

TEST(Parallelism, LinesArePartsOfARowOrWholeRows) {
  const BoardSpec& t3000 = board("t3000"); // 2x4
  for (const auto& [text, rows, columns] : {std::tuple{"1", 1, 1}, {"2", 1, 2}, {"4", 1, 4}, {"8", 2, 4}}) {
    const Parallelism line = parse_tensor_parallelism(t3000, text);
    EXPECT_EQ(line.rows, rows) << text;
    EXPECT_EQ(line.columns, columns) << text;
    EXPECT_EQ(line.scheme, nn::TensorParallelScheme::LINE);
    EXPECT_EQ(line.most_copies(t3000), 8 / (rows * columns));
    EXPECT_EQ(line.submesh_of(t3000).chips(), rows * columns);
  }
  EXPECT_THAT(lines("galaxy", with_heads(32, 8)), ElementsAre(1, 2, 4, 8, 16, 32)); // 8x4
}

TEST(Parallelism, AGridHasTheShapeThatIsWritten) {
  const Parallelism grid = parse_tensor_parallelism(board("galaxy"), "8x4");
  EXPECT_EQ(grid.rows, 8);
  EXPECT_EQ(grid.columns, 4);
  EXPECT_EQ(grid.scheme, nn::TensorParallelScheme::GRID);
  EXPECT_EQ(to_string(grid), "dp 1, tp 8x4");
}

TEST(Parallelism, TextThatIsNoShapeOfTheBoardIsRefusedWithTheShapesThatAre) {
  for (const char* text :
       {"3", "0", "-1", "16", "x", "2x", "x4", "2x4x1", "2x3", "4x2", "two", "2 4", "99999999999999999999"}) {
    EXPECT_THAT([&] { parse_tensor_parallelism(board("t3000"), text); },
                ThrowsMessage<base::InvalidArgument>(
                    ::testing::AllOf(HasSubstr("1, 2, 4, 8 chips in a line"), HasSubstr("t3000"), HasSubstr(text))))
        << text;
  }
}

TEST(Parallelism, OnlyLinesWhoseChipsCanShareTheHeadsAreOffered) {
  EXPECT_THAT(lines("t3000", with_heads(6, 2)), ElementsAre(1, 2));
  EXPECT_THAT(lines("t3000", with_heads(8, 2)), ElementsAre(1, 2, 4, 8)); // KV heads held by several chips each
  EXPECT_THAT(lines("t3000", with_heads(71, 1)), ElementsAre(1));
  EXPECT_THAT(lines("n150", with_heads(32, 8)), ElementsAre(1));
}

TEST(Parallelism, HeadsThatCannotBeSharedAreRefusedWithWhatWorks) {
  const BoardSpec& t3000 = board("t3000");
  EXPECT_THAT([&] { check_parallelism({.columns = 4}, t3000, with_heads(6, 2)); },
              ThrowsMessage<base::InvalidArgument>(
                  ::testing::AllOf(HasSubstr("6 query heads and 2 key-value heads"), HasSubstr("dp 1, tp 4"),
                                   HasSubstr("on t3000 these work: --tp 1, 2, or 1x2, 1x4, 2x2, 2x4"))));
  EXPECT_NO_THROW(check_parallelism(parse_tensor_parallelism(t3000, "2x4"), t3000, with_heads(6, 2)));
}

TEST(Parallelism, MoreCopiesThanChipsAreRefused) {
  EXPECT_THAT([&] { check_parallelism({.dp = 3, .columns = 4}, board("t3000"), with_heads(8, 8)); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("--dp must be in 1..2 with 4 chips for each copy")));
  EXPECT_THROW(check_parallelism({.dp = 0}, board("t3000"), with_heads(8, 8)), base::InvalidArgument);
}

} // namespace
} // namespace tessera::models
