#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/perfmodel/constants.hpp"

namespace tessera::perfmodel {
namespace {

using ::testing::HasSubstr;

std::string file() {
  return base::read_file(TESSERA_SOURCE_DIR "/tessera/perfmodel/constants.json");
}

std::string error_of(const std::string& json) {
  try {
    read_constants(json);
  } catch (const base::IoError& error) {
    return error.what();
  }
  return "";
}

std::string with(std::string text, const std::string& old, const std::string& now) {
  const std::size_t at = text.find(old);
  EXPECT_NE(at, std::string::npos) << old;
  return text.replace(at, old.size(), now);
}

TEST(Constants, OfThisBuildAreTheFolders) {
  const Constants read = read_constants(file());
  EXPECT_EQ(read.release, constants().release);
  EXPECT_EQ(read.of(board("n150").arch).matmul_clock_hz, constants().of(board("n150").arch).matmul_clock_hz);
  EXPECT_GT(constants().host.step_ns, 0);
}

TEST(Constants, KnowTheArchitectureOfEveryBoard) {
  for (const BoardSpec& board : boards()) EXPECT_NO_THROW(constants().of(board.arch)) << board.name;
}

TEST(Constants, RefuseAnArchitectureWithoutMeasurements) {
  ArchSpec arch = board("n150").arch;
  arch.name = "grayskull";
  try {
    constants().of(arch);
    FAIL();
  } catch (const base::Unsupported& error) {
    EXPECT_THAT(error.what(), HasSubstr("blackhole, wormhole_b0"));
    EXPECT_THAT(error.what(), HasSubstr("grayskull"));
  }
}

TEST(Constants, AreRefusedWithoutAValueOrASource) {
  EXPECT_EQ(error_of(file()), "");
  EXPECT_THAT(error_of("not json"), HasSubstr("JSON object"));
  EXPECT_THAT(error_of(with(file(), "\"step_ns\"", "\"stop_ns\"")), HasSubstr("host.step_ns is required"));
  EXPECT_THAT(error_of(with(file(), "\"source\": \"gemm\"", "\"source\": \"hearsay\"")),
              HasSubstr("one of the sources"));
  EXPECT_THAT(error_of(with(file(), "\"value\": 0.", "\"value\": -0.")), HasSubstr("at least 0"));
}

} // namespace
} // namespace tessera::perfmodel
