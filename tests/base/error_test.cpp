#include "tessera/base/error.hpp"

#include <gtest/gtest.h>

namespace tessera::base {
namespace {

TEST(Require, ThrowsTheNamedErrorWithTheFormattedText) {
  try {
    require<OutOfMemory>(false, "[alloc] {} bytes are needed; {} are free", 10, 4);
    FAIL() << "nothing was thrown";
  } catch (const OutOfMemory& error) {
    EXPECT_STREQ(error.what(), "[alloc] 10 bytes are needed; 4 are free");
  }
}

TEST(Require, ThrowsInvalidArgumentWhenNoErrorIsNamed) {
  EXPECT_THROW(require(false, "[op] no"), InvalidArgument);
}

TEST(Require, DoesNothingWhenTheConditionHolds) {
  EXPECT_NO_THROW(require<IoError>(true, "[op] no"));
}

TEST(Error, IsTheRootOfEveryKind) {
  EXPECT_THROW(throw InvalidArgument("x"), Error);
  EXPECT_THROW(throw OutOfMemory("x"), Error);
  EXPECT_THROW(throw IoError("x"), Error);
  EXPECT_THROW(throw Unsupported("x"), Error);
  EXPECT_THROW(throw DeviceError("x"), Error);
}

} // namespace
} // namespace tessera::base
