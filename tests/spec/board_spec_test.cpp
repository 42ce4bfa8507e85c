#include "tessera/spec/board_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Board, MeshesHaveTheShapeOfTheProduct) {
  EXPECT_EQ(board("n150").chips(), 1);
  EXPECT_EQ(board("n300").chips(), 2);
  EXPECT_EQ(board("t3000").chips(), 8);
  EXPECT_EQ(board("t3000").mesh_rows, 2);
  EXPECT_EQ(board("galaxy").chips(), 32);
  EXPECT_EQ(board("galaxy").mesh_rows, 8);
  EXPECT_EQ(board("p150").chips(), 1);
}

TEST(Board, IsFoundByAliasAndInAnyCase) {
  EXPECT_EQ(board("loudbox").name, "t3000");
  EXPECT_EQ(board("QuietBox").name, "t3000");
  EXPECT_EQ(board("N150").name, "n150");
}

TEST(Board, AnUnknownNameListsTheKnownOnes) {
  EXPECT_THAT([] { board("n151"); },
              ThrowsMessage<base::InvalidArgument>(
                  AllOf(HasSubstr("n150, n300, t3000, galaxy, p150"), HasSubstr("received \"n151\""))));
}

TEST(Boards, NamesAreUnique) {
  std::set<std::string> names;
  for (const BoardSpec& spec : boards()) EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
}

// A Wormhole chip is sold with 12 GB of GDDR6 and 1.5 MB of L1 per core, a Blackhole with 32 GB. What programs can use
// is a little less than the binary figure.
TEST(Boards, MemoryIsThatOfTheDataSheets) {
  const ArchSpec& wormhole = board("n150").arch;
  EXPECT_EQ(wormhole.dram_banks, 12);
  EXPECT_GT(wormhole.dram_bytes(), 12'000'000'000);
  EXPECT_LE(wormhole.dram_bytes(), std::int64_t{12} << 30);
  EXPECT_EQ(wormhole.worker_cores(), 64);
  EXPECT_LE(wormhole.l1_bytes(), 64 * 1'536'000);
  const ArchSpec& blackhole = board("p150").arch;
  EXPECT_EQ(blackhole.dram_banks, 8);
  EXPECT_GT(blackhole.dram_bytes(), 32'000'000'000);
  EXPECT_LE(blackhole.dram_bytes(), std::int64_t{32} << 30);
}

TEST(Boards, FiguresAreConsistent) {
  for (const BoardSpec& spec : boards()) {
    const ArchSpec& arch = spec.arch;
    EXPECT_GT(arch.l1_bytes_per_core, arch.l1_reserved_bytes_per_core) << spec.name;
    EXPECT_EQ(arch.l1_reserved_bytes_per_core % arch.l1_alignment_bytes, 0) << spec.name;
    EXPECT_EQ(arch.dram_bytes_per_bank % arch.dram_alignment_bytes, 0) << spec.name;
    EXPECT_GT(arch.dram_bytes_per_s, 0) << spec.name;
    EXPECT_GT(arch.clock_hz, 0) << spec.name;
    EXPECT_EQ(spec.links_per_neighbour > 0, spec.chips() > 1) << spec.name;
    EXPECT_EQ(spec.link_bytes_per_s > 0, spec.chips() > 1) << spec.name;
  }
}

} // namespace
} // namespace tessera
