#include "tessera/checkpoint/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace tessera::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::ThrowsMessage;

TEST(SafeTensors, OpensAValidFile) {
  const test::TemporaryFolder folder;
  const auto file = SafeTensors::open(folder.write("m.safetensors", test::small_safetensors()));
  EXPECT_THAT(file.names(), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt")));
  EXPECT_THAT(to_float(file.at("a")), ElementsAre(1.0f, -2.0f));
  EXPECT_THAT(to_float(file.at("b")), ElementsAre(1.0f, 2.0f, 3.0f, 4.0f));
  EXPECT_THAT(file.at("b").shape, ElementsAre(2, 2));
  EXPECT_THAT(to_int64(file.at("c")), ElementsAre(42));
  EXPECT_THAT(file.at("c").shape, IsEmpty());
  EXPECT_THAT(to_float(file.at("d")), IsEmpty());
}

TEST(SafeTensors, ViewsOutliveTheFileObject) {
  const test::TemporaryFolder folder;
  std::optional<SafeTensors> file = SafeTensors::open(folder.write("m.safetensors", test::small_safetensors()));
  const TensorView view = file->at("a");
  file.reset();
  EXPECT_THAT(to_float(view), ElementsAre(1.0f, -2.0f));
}

TEST(SafeTensors, OrdersTensorsByTheirDataWhateverTheHeadersOrder) {
  const std::string bytes = test::safetensors_bytes(
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"y":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      "\x05\x06");
  const auto file = SafeTensors::from_bytes(test::as_bytes(bytes), nullptr, "m");
  EXPECT_THAT(file.names(), ElementsAre("y", "x"));
  EXPECT_THAT(to_int64(file.at("x")), ElementsAre(6));
}

TEST(SafeTensors, OpensAFileWithoutTensors) {
  const std::string bytes = test::safetensors_bytes("{}  ");
  EXPECT_THAT(SafeTensors::from_bytes(test::as_bytes(bytes), nullptr, "m").names(), IsEmpty());
}

TEST(SafeTensors, NamesTheNearestTensorsForAnAbsentOne) {
  const std::string bytes = test::safetensors_bytes(
      R"({"norm.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"head":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})");
  const auto file = SafeTensors::from_bytes(test::as_bytes(bytes), nullptr, "m.safetensors");
  EXPECT_FALSE(file.contains("norm.wieght"));
  EXPECT_THAT([&] { file.at("norm.wieght"); },
              ThrowsMessage<base::IoError>(AllOf(HasSubstr("norm.wieght is required; m.safetensors lacks it"),
                                                 HasSubstr("the nearest are norm.weight, head"))));
}

TEST(SafeTensors, RefusesAbsentFiles) {
  EXPECT_THAT([] { SafeTensors::open("/nowhere/m.safetensors"); },
              ThrowsMessage<base::IoError>(HasSubstr("/nowhere/m.safetensors")));
}

/// A damaged file and a part of the error it must give.
struct Damage {
  const char* name;
  std::string bytes;
  const char* expected;
};

void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

/// A file with one tensor "weight" described by `info`, and four bytes of data.
std::string one_tensor(std::string_view info) {
  return test::safetensors_bytes("{\"weight\":" + std::string(info) + "}", "1234");
}

/// Two U8 tensors "x" and "y" with these offsets, and four bytes of data.
std::string two_tensors(int x_begin, int x_end, int y_begin, int y_end) {
  const auto info = [](int begin, int end) {
    return fmt::format(R"({{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})", end - begin, begin, end);
  };
  return test::safetensors_bytes(fmt::format(R"({{"x":{},"y":{}}})", info(x_begin, x_end), info(y_begin, y_end)),
                                 "1234");
}

std::string with_length(std::uint64_t length) {
  std::string bytes = test::small_safetensors();
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes;
}

const Damage kDamages[] = {
    {"EmptyFile", "", "holds 0 bytes"},
    {"ShortLength", "1234567", "holds 7 bytes"},
    {"LengthBeyondTheFile", with_length(1'000'000), "truncated"},
    {"LengthAboveTheLimit", with_length(100'000'001), "at most 100000000 bytes; it claims 100000001"},
    {"LengthOfAllOnes", with_length(~std::uint64_t{0}), "at most 100000000 bytes"},
    {"LengthTooShort", with_length(20), "must be valid JSON"},
    {"EmptyHeader", with_length(0), "must be valid JSON"},
    {"GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
    {"NotJson", test::safetensors_bytes("hello"), "must be valid JSON"},
    {"NotUtf8", test::safetensors_bytes("{\"\xff\":1}"), "must be valid JSON"},
    {"NotAnObject", test::safetensors_bytes("[1,2]"), "must be a JSON object"},
    {"DeepNesting", test::safetensors_bytes("{\"a\":" + std::string(100'000, '[')), "64 levels"},
    {"DuplicateName",
     test::safetensors_bytes(
         R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
         "1234"),
     "\"a\" twice"},
    {"MetadataNotAnObject", test::safetensors_bytes(R"({"__metadata__":[1]})"), "__metadata__"},
    {"MetadataNotStrings", test::safetensors_bytes(R"({"__metadata__":{"format":1}})"), "\"format\" is 1"},
    {"InfoNotAnObject", one_tensor("[1]"), "weight in m.safetensors must be described by an object"},
    {"NoDtype", one_tensor(R"({"shape":[1],"data_offsets":[0,4]})"), "weight in m.safetensors lacks dtype"},
    {"NoShape", one_tensor(R"({"dtype":"F32","data_offsets":[0,4]})"), "lacks shape"},
    {"NoOffsets", one_tensor(R"({"dtype":"F32","shape":[1]})"), "lacks data_offsets"},
    {"UnknownDtype", one_tensor(R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})"), "received \"F8_E4M3\""},
    {"DtypeNotAString", one_tensor(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})"), "dtype of weight"},
    {"ShapeNotAnArray", one_tensor(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})"), "must be an array"},
    {"NegativeDimension", one_tensor(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "received -1"},
    {"FractionalDimension", one_tensor(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), "received 1.0"},
    {"DimensionAbove63Bits", one_tensor(R"({"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]})"),
     "dimensions of weight"},
    {"OverflowingShape", one_tensor(R"({"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]})"),
     "must fit in 63 bits"},
    {"OverflowingOnlyInBytes", one_tensor(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})"),
     "must fit in 63 bits"},
    {"NegativeOffset", one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})"), "received -4"},
    {"OneOffset", one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), "must be [begin, end]"},
    {"OffsetsNotAnArray", one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":{"0":0,"1":4}})"),
     "must be [begin, end]"},
    {"ReversedOffsets", one_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "must not be reversed"},
    {"SizeNotThatOfTheShape", one_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
     "weight in m.safetensors must have the 8 bytes of F32 [2]"},
    {"BeyondTheFile", one_tensor(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})"), "only 4 follow the header"},
    {"Overlap", two_tensors(0, 3, 2, 4), "must not overlap; y starts at byte 2, inside x which ends at 3"},
    {"SameBytesTwice", two_tensors(0, 4, 0, 4), "must not overlap"},
    {"GapBetween", two_tensors(0, 1, 2, 4), "without gaps; y starts at byte 2"},
    {"GapAtTheStart", two_tensors(1, 2, 2, 4), "without gaps; x starts at byte 1"},
    {"BytesLeftOver", two_tensors(0, 1, 1, 3), "must fill the file; they end at byte 3 of 4"},
};

class DamagedSafeTensors : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedSafeTensors, IsRefusedInOneLineThatNamesTheFile) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("m.safetensors", GetParam().bytes);
  std::filesystem::current_path(folder.path());
  EXPECT_THAT([&] { SafeTensors::open("m.safetensors"); },
              ThrowsMessage<base::IoError>(
                  AllOf(HasSubstr("m.safetensors"), HasSubstr(GetParam().expected), Not(HasSubstr("\n")))));
  std::filesystem::current_path("/");
}

INSTANTIATE_TEST_SUITE_P(EachKind, DamagedSafeTensors, ::testing::ValuesIn(kDamages),
                         [](const auto& damage) { return damage.param.name; });

TEST(StorageBytes, IsTheProductOrNothing) {
  const std::vector<std::int64_t> scalar;
  EXPECT_EQ(storage_bytes(scalar, StorageType::F32), 4u);
  EXPECT_EQ(storage_bytes(std::vector<std::int64_t>{2, 3}, StorageType::BF16), 12u);
  EXPECT_EQ(storage_bytes(std::vector<std::int64_t>{0, 5}, StorageType::BF16), 0u);
  EXPECT_EQ(storage_bytes(std::vector<std::int64_t>{-1}, StorageType::U8), std::nullopt);
  EXPECT_EQ(storage_bytes(std::vector<std::int64_t>{std::int64_t{1} << 62, 2}, StorageType::U8), std::nullopt);
}

TEST(WriteSafetensors, RoundTripsNamesShapesDataOrderAndMetadata) {
  const test::TemporaryFolder folder;
  const std::vector<float> floats = {1.0f, -2.5f, 3.0f};
  const std::vector<std::int64_t> ids = {5, -6};
  const std::vector<OutputTensor> tensors = {
      {"z \"quoted\" \xc3\xa9", StorageType::BOOL, {1}, std::as_bytes(std::span("\1", 1))},
      {"logits", StorageType::F32, {1, 3}, std::as_bytes(std::span(floats))},
      {"ids", StorageType::I64, {2}, std::as_bytes(std::span(ids))},
      {"none", StorageType::F16, {4, 0}, {}}};
  const auto path = folder.path() / "new" / "out.safetensors";
  write_safetensors(path, tensors, {{"source", "a test"}});

  const auto file = SafeTensors::open(path);
  EXPECT_THAT(file.names(), ElementsAre(tensors[0].name, "logits", "ids", "none"));
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("source", "a test")));
  EXPECT_THAT(to_float(file.at("logits")), ElementsAre(1.0f, -2.5f, 3.0f));
  EXPECT_THAT(file.at("logits").shape, ElementsAre(1, 3));
  EXPECT_THAT(to_int64(file.at("ids")), ElementsAre(5, -6));
  EXPECT_THAT(to_int64(file.at(tensors[0].name)), ElementsAre(1));
  EXPECT_THAT(file.at("none").shape, ElementsAre(4, 0));
}

TEST(WriteSafetensors, AlignsTheDataToEightBytes) {
  const test::TemporaryFolder folder;
  for (const char* name : {"a", "ab", "abc", "abcd"}) {
    const auto path = folder.path() / name;
    write_safetensors(path, std::vector<OutputTensor>{{name, StorageType::U8, {0}, {}}});
    const std::string bytes = base::read_file(path);
    EXPECT_EQ(bytes.size() % 8, 0u);
    EXPECT_EQ(bytes[8], '{');
  }
}

TEST(WriteSafetensors, WritesAFileWithoutTensors) {
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "m", {});
  EXPECT_THAT(SafeTensors::open(folder.path() / "m").names(), IsEmpty());
}

TEST(WriteSafetensors, RefusesWhatItCouldNotReadBackAndWritesNothing) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "m.safetensors";
  const auto data = std::as_bytes(std::span("1234", 4));
  const auto write = [&](std::vector<OutputTensor> tensors) {
    return [&path, tensors] { write_safetensors(path, tensors); };
  };
  using Refused = base::InvalidArgument;
  EXPECT_THAT(write({{"a", StorageType::F32, {2}, data}}), ThrowsMessage<Refused>(HasSubstr("the bytes of F32 [2]")));
  EXPECT_THAT(write({{"a", StorageType::F32, {-1}, data}}), ThrowsMessage<Refused>(HasSubstr("the bytes of F32 [-1]")));
  EXPECT_THAT(write({{"a", StorageType::U8, {4}, data}, {"a", StorageType::U8, {4}, data}}),
              ThrowsMessage<Refused>(HasSubstr("a comes twice")));
  EXPECT_THAT(write({{"__metadata__", StorageType::U8, {4}, data}}), ThrowsMessage<Refused>(HasSubstr("rename")));
  EXPECT_THAT(write({{"\xff", StorageType::U8, {4}, data}}), ThrowsMessage<Refused>(HasSubstr("UTF-8")));
  EXPECT_FALSE(std::filesystem::exists(path));
}

} // namespace
} // namespace tessera::checkpoint
