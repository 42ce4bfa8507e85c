#include <array>
#include <numeric>

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

TEST(Probe, ReadsEveryByteOfTheMemory) {
  alignas(64) std::array<std::uint64_t, 96> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = i * i;
  const auto sum = std::accumulate(memory.begin(), memory.end(), std::uint64_t{0});
  EXPECT_EQ(kernels().read_memory(reinterpret_cast<const std::byte*>(memory.data()), sizeof memory), sum);
}

TEST(Probe, CountsItsMultiplyAdds) {
  EXPECT_GT(kernels().multiply_add(1), 0);
  EXPECT_EQ(kernels().multiply_add(1000), 1000 * kernels().multiply_add(1));
}

} // namespace
} // namespace tessera::kernels
