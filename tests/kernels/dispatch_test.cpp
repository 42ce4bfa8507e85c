#include "kernels_fixture.hpp"
#include "tessera/base/error.hpp"

namespace tessera::kernels {
namespace {

TEST(Dispatch, UsesTheForcedIsaOrRefusesIt) {
  const std::string forced = forced_isa();
  if (forced.empty()) GTEST_SKIP() << "TESSERA_ISA is not set";
  if (kernels_for(forced) == nullptr) {
    EXPECT_THROW(kernels(), base::InvalidArgument);
  } else {
    EXPECT_EQ(kernels().isa, forced);
  }
}

TEST(Dispatch, UsesTheBestIsaUnlessForced) {
  if (!forced_isa().empty()) GTEST_SKIP() << "TESSERA_ISA is set";
  for (const std::string_view isa : {"avx512", "avx2", "scalar"}) {
    if (kernels_for(isa) == nullptr) continue;
    EXPECT_EQ(&kernels(), kernels_for(isa));
    return;
  }
}

TEST(Dispatch, KnowsScalarOnEveryCpu) {
  ASSERT_NE(kernels_for("scalar"), nullptr);
  EXPECT_EQ(kernels_for("scalar")->isa, "scalar");
  EXPECT_EQ(kernels_for("neon"), nullptr);
}

} // namespace
} // namespace tessera::kernels
