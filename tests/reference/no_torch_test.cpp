#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/reference/ops/golden_op.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::reference {
namespace {

TEST(ReferenceWithoutLibtorch, SaysWhatToInstall) {
  EXPECT_FALSE(available());
  const test::TemporaryFolder folder;
  const auto config = test::tiny_config();
  test::write_tiny_checkpoint(folder, config, test::tiny_weights(config));
  EXPECT_THAT([&] { open(checkpoint::Checkpoint::open(folder.path().string())); },
              testing::ThrowsMessage<base::Unsupported>(testing::HasSubstr("install libtorch-dev")));
}

TEST(ReferenceWithoutLibtorch, HasNoGoldenFunctionsAndSaysSo) {
  EXPECT_TRUE(golden_ops().empty());
  EXPECT_FALSE(has_golden("linear"));
  const OpRecord record{.name = "linear"};
  EXPECT_THAT([&] { golden({.record = record}); },
              testing::ThrowsMessage<base::Unsupported>(testing::HasSubstr("install libtorch-dev")));
}

} // namespace
} // namespace tessera::reference
