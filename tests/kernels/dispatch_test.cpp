#include "kernels_fixture.hpp"
#include "tessera/base/error.hpp"

namespace tessera::kernels {
namespace {

/// The best that the CPU has.
std::string_view best_isa() {
  for (const std::string_view isa : {"avx512", "avx2"}) {
    if (kernels_for(isa) != nullptr) return isa;
  }
  return "scalar";
}

// Guards the other tests: what they compare with the oracle is what TESSERA_ISA names.
TEST(Dispatch, UsesTheForcedIsaElseTheBest) {
  const std::string forced = forced_isa();
  if (forced.empty()) {
    EXPECT_EQ(kernels().isa, best_isa());
  } else if (kernels_for(forced) != nullptr) {
    EXPECT_EQ(kernels().isa, forced);
  } else {
    EXPECT_THROW(kernels(), base::InvalidArgument);
  }
}

TEST(Dispatch, KnowsScalarOnEveryCpu) {
  ASSERT_NE(kernels_for("scalar"), nullptr);
  EXPECT_EQ(kernels_for("scalar")->isa, "scalar");
  EXPECT_EQ(kernels_for("neon"), nullptr);
}

} // namespace
} // namespace tessera::kernels
