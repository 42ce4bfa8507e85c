#include "tessera/checkpoint/tensor_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tessera/base/error.hpp"

namespace tessera::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A view of `values` that starts at an odd address, as data behind a header of any length may.
template <typename T>
TensorView unaligned_view(StorageType dtype, const std::vector<T>& values) {
  auto bytes = std::make_shared<std::vector<std::byte>>(1 + values.size() * sizeof(T));
  std::memcpy(bytes->data() + 1, values.data(), values.size() * sizeof(T));
  return {"t", dtype, {static_cast<std::int64_t>(values.size())}, std::span(*bytes).subspan(1), bytes};
}

TEST(ToFloat, WidensFloatingPointExactly) {
  EXPECT_THAT(to_float(unaligned_view<float>(StorageType::F32, {1.5f, -3e38f})), ElementsAre(1.5f, -3e38f));
  EXPECT_THAT(to_float(unaligned_view<std::uint16_t>(StorageType::F16, {0x3e00, 0x0001})), ElementsAre(1.5f, 0x1p-24f));
  EXPECT_THAT(to_float(unaligned_view<std::uint16_t>(StorageType::BF16, {0x3fc0, 0xbf80})), ElementsAre(1.5f, -1.0f));
}

TEST(ToFloat, ConvertsTheOtherTypes) {
  EXPECT_THAT(to_float(unaligned_view<double>(StorageType::F64, {0.1})), ElementsAre(0.1f));
  EXPECT_THAT(to_float(unaligned_view<std::int64_t>(StorageType::I64, {-7})), ElementsAre(-7.0f));
  EXPECT_THAT(to_float(unaligned_view<std::int32_t>(StorageType::I32, {-7})), ElementsAre(-7.0f));
  EXPECT_THAT(to_float(unaligned_view<std::int16_t>(StorageType::I16, {-7})), ElementsAre(-7.0f));
  EXPECT_THAT(to_float(unaligned_view<std::int8_t>(StorageType::I8, {-7})), ElementsAre(-7.0f));
  EXPECT_THAT(to_float(unaligned_view<std::uint8_t>(StorageType::U8, {250})), ElementsAre(250.0f));
  EXPECT_THAT(to_float(unaligned_view<std::uint16_t>(StorageType::U16, {65000})), ElementsAre(65000.0f));
  EXPECT_THAT(to_float(unaligned_view<std::uint32_t>(StorageType::U32, {1u << 31})), ElementsAre(0x1p31f));
  EXPECT_THAT(to_float(unaligned_view<std::uint64_t>(StorageType::U64, {1ull << 63})), ElementsAre(0x1p63f));
  EXPECT_THAT(to_float(unaligned_view<std::uint8_t>(StorageType::BOOL, {0, 1, 2})), ElementsAre(0.0f, 1.0f, 1.0f));
}

TEST(CopyAsFloat, ReadsARange) {
  const TensorView view = unaligned_view<std::int16_t>(StorageType::I16, {1, 2, 3, 4});
  std::vector<float> out(2);
  copy_as_float(view, 1, out);
  EXPECT_THAT(out, ElementsAre(2.0f, 3.0f));
}

TEST(CopyAsFloat, RefusesARangeBeyondTheTensor) {
  const TensorView view = unaligned_view<std::int16_t>(StorageType::I16, {1, 2, 3, 4});
  std::vector<float> out(2);
  EXPECT_THAT([&] { copy_as_float(view, 3, out); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("the 4 elements")));
  EXPECT_THROW(copy_as_float(view, std::numeric_limits<std::size_t>::max(), out), base::InvalidArgument);
}

TEST(ToInt64, ReadsEveryIntegerType) {
  EXPECT_THAT(to_int64(unaligned_view<std::int64_t>(StorageType::I64, {-1, 1ll << 40})), ElementsAre(-1, 1ll << 40));
  EXPECT_THAT(to_int64(unaligned_view<std::int32_t>(StorageType::I32, {-1})), ElementsAre(-1));
  EXPECT_THAT(to_int64(unaligned_view<std::int16_t>(StorageType::I16, {-1})), ElementsAre(-1));
  EXPECT_THAT(to_int64(unaligned_view<std::int8_t>(StorageType::I8, {-1})), ElementsAre(-1));
  EXPECT_THAT(to_int64(unaligned_view<std::uint8_t>(StorageType::U8, {255})), ElementsAre(255));
  EXPECT_THAT(to_int64(unaligned_view<std::uint16_t>(StorageType::U16, {65535})), ElementsAre(65535));
  EXPECT_THAT(to_int64(unaligned_view<std::uint32_t>(StorageType::U32, {4294967295u})), ElementsAre(4294967295));
  EXPECT_THAT(to_int64(unaligned_view<std::uint64_t>(StorageType::U64, {9})), ElementsAre(9));
  EXPECT_THAT(to_int64(unaligned_view<std::uint8_t>(StorageType::BOOL, {0, 3})), ElementsAre(0, 1));
}

TEST(ToInt64, RefusesFloatingPointAndValuesThatDoNotFit) {
  EXPECT_THAT([] { to_int64(unaligned_view<float>(StorageType::F32, {1.0f})); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("tensor t must hold integers; received F32")));
  EXPECT_THROW(to_int64(unaligned_view<std::uint64_t>(StorageType::U64, {1ull << 63})), base::InvalidArgument);
}

TEST(ShapeToString, CutsLongShapes) {
  EXPECT_EQ(shape_to_string(std::vector<std::int64_t>{}), "[]");
  EXPECT_EQ(shape_to_string(std::vector<std::int64_t>{2, 48}), "[2, 48]");
  EXPECT_EQ(shape_to_string(std::vector<std::int64_t>(9, 1)), "[1, 1, 1, 1, 1, 1, 1, 1, ...]");
}

} // namespace
} // namespace tessera::checkpoint
