#include "tessera/spec/data_type.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::array kAll = {DataType::FLOAT32,   DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B,
                             DataType::BFLOAT2_B, DataType::UINT32,   DataType::INT32};

// The sizes that the card's allocator reports: 64 exponents and 1024 elements.
TEST(TileBytes, AreTheCardsOwn) {
  EXPECT_EQ(tile_bytes(DataType::FLOAT32), 4096);
  EXPECT_EQ(tile_bytes(DataType::UINT32), 4096);
  EXPECT_EQ(tile_bytes(DataType::INT32), 4096);
  EXPECT_EQ(tile_bytes(DataType::BFLOAT16), 2048);
  EXPECT_EQ(tile_bytes(DataType::BFLOAT8_B), 1088);
  EXPECT_EQ(tile_bytes(DataType::BFLOAT4_B), 576);
  EXPECT_EQ(tile_bytes(DataType::BFLOAT2_B), 320);
}

TEST(DataType, KnowsBlockFloatsAndIntegers) {
  for (const DataType dtype : kAll) {
    const bool block = to_string(dtype).ends_with("_B");
    EXPECT_EQ(is_block_float(dtype), block) << to_string(dtype);
    const bool integer = to_string(dtype).find("INT") != std::string_view::npos;
    EXPECT_EQ(is_integer(dtype), integer) << to_string(dtype);
  }
}

TEST(DataType, NamesAreReadBack) {
  for (const DataType dtype : kAll) EXPECT_EQ(parse_data_type(to_string(dtype)), dtype) << to_string(dtype);
}

TEST(DataType, TakesTheShortNames) {
  EXPECT_EQ(parse_data_type("f32"), DataType::FLOAT32);
  EXPECT_EQ(parse_data_type("bf16"), DataType::BFLOAT16);
  EXPECT_EQ(parse_data_type("bfp8"), DataType::BFLOAT8_B);
  EXPECT_EQ(parse_data_type("bfp4"), DataType::BFLOAT4_B);
  EXPECT_EQ(parse_data_type("bfp2"), DataType::BFLOAT2_B);
}

TEST(DataType, RefusesUnknownNames) {
  for (const char* name : {"", "fp16", "BFLOAT8", "bfp8 "}) {
    EXPECT_THAT([&] { parse_data_type(name); },
                ThrowsMessage<base::InvalidArgument>(HasSubstr(std::string("received \"") + name + "\"")));
  }
}

TEST(TileElement, StoresFaceByFace) {
  EXPECT_EQ(tile_element(0, 15), 15);
  EXPECT_EQ(tile_element(1, 0), 16);
  EXPECT_EQ(tile_element(0, 16), 256);
  EXPECT_EQ(tile_element(16, 0), 512);
  EXPECT_EQ(tile_element(31, 31), 1023);
  std::vector<bool> seen(kTileElements, false);
  for (std::int64_t row = 0; row < kTileHeight; ++row) {
    for (std::int64_t column = 0; column < kTileWidth; ++column) {
      const auto place = static_cast<std::size_t>(tile_element(row, column));
      EXPECT_FALSE(seen.at(place)) << row << ", " << column;
      seen[place] = true;
    }
  }
}

} // namespace
} // namespace tessera
