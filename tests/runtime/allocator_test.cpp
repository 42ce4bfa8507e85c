#include "tessera/runtime/allocator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;
using Direction = BankAllocator::Direction;

const AllocationLabel kActivation{MemoryKind::ACTIVATIONS, "x"};

BankAllocator::Layout small_dram() {
  return {.name = "DRAM", .board = "n150", .banks = 4, .begin = 0, .end = 1024, .alignment = 32};
}
BankAllocator::Layout small_l1() {
  return {.name = "L1",
          .board = "n150",
          .banks = 4,
          .begin = 100, // rounded up to 112
          .end = 1030,  // rounded down to 1024
          .alignment = 16,
          .direction = Direction::TOP_DOWN};
}

TEST(BankAllocator, DramGrowsFromTheBottom) {
  BankAllocator dram(small_dram());
  EXPECT_EQ(dram.allocate(4, 64, kActivation), 0);
  EXPECT_EQ(dram.allocate(4, 32, kActivation), 64);
  EXPECT_EQ(dram.allocate(1, 32, kActivation), 96);
}

TEST(BankAllocator, L1GrowsFromTheTop) {
  BankAllocator l1(small_l1());
  EXPECT_EQ(l1.capacity_bytes(), 4 * (1024 - 112));
  EXPECT_EQ(l1.allocate(4, 64, kActivation), 1024 - 64);
  EXPECT_EQ(l1.allocate(4, 16, kActivation), 1024 - 80);
}

TEST(BankAllocator, EveryBankTakesWhatTheFullestNeeds) {
  BankAllocator dram(small_dram());
  dram.allocate(5, 64, kActivation); // two pages in bank 0, one in the others
  EXPECT_EQ(dram.usage().used_bytes, 4 * 128);
  EXPECT_EQ(dram.allocate(1, 32, kActivation), 128);
}

TEST(BankAllocator, AlignsEachPage) {
  BankAllocator dram(small_dram());
  dram.allocate(8, 33, kActivation); // two pages of 64 in each bank
  EXPECT_EQ(dram.allocate(1, 1, kActivation), 128);
  EXPECT_EQ(dram.usage().used_bytes, 4 * (128 + 32));
}

TEST(BankAllocator, TakesTheFirstHoleThatFits) {
  BankAllocator dram(small_dram());
  const std::int64_t a = dram.allocate(4, 96, kActivation);
  dram.allocate(4, 32, kActivation);
  const std::int64_t c = dram.allocate(4, 64, kActivation);
  dram.allocate(4, 32, kActivation);
  dram.free(a);
  dram.free(c);
  EXPECT_EQ(dram.allocate(4, 64, kActivation), a); // the first, though the second fits exactly
  EXPECT_EQ(dram.allocate(4, 64, kActivation), c);
  EXPECT_EQ(dram.allocate(4, 32, kActivation), a + 64);
}

TEST(BankAllocator, L1TakesTheUpperEndOfTheHighestHole) {
  BankAllocator l1(small_l1());
  const std::int64_t a = l1.allocate(4, 96, kActivation);
  l1.allocate(4, 16, kActivation);
  l1.free(a);
  EXPECT_EQ(l1.allocate(4, 32, kActivation), a + 64);
  EXPECT_EQ(l1.allocate(4, 96, kActivation), a - 16 - 96);
  EXPECT_EQ(l1.allocate(4, 64, kActivation), a);
}

TEST(BankAllocator, JoinsFreedNeighbours) {
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    BankAllocator dram(small_dram());
    std::vector<std::int64_t> addresses;
    for (int i = 0; i < 3; ++i) addresses.push_back(dram.allocate(4, 320, kActivation));
    dram.allocate(4, 64, kActivation); // full: 3 * 320 + 64 = 1024
    for (const std::size_t i : order) dram.free(addresses[i]);
    EXPECT_EQ(dram.allocate(4, 960, kActivation), 0);
  }
}

TEST(BankAllocator, FillsToTheLastByte) {
  BankAllocator dram(small_dram());
  EXPECT_EQ(dram.allocate(32 * 4, 32, kActivation), 0);
  EXPECT_EQ(dram.usage().used_bytes, dram.capacity_bytes());
  EXPECT_THROW(dram.allocate(1, 1, kActivation), base::OutOfMemory);
  dram.free(0);
  EXPECT_EQ(dram.usage().used_bytes, 0);
}

TEST(BankAllocator, KeepsUsageAndPeaksByKind) {
  BankAllocator dram(small_dram());
  const std::int64_t weights = dram.allocate(4, 64, {MemoryKind::WEIGHTS, "w"});
  const std::int64_t cache = dram.allocate(4, 32, {MemoryKind::KV_CACHE, "k"});
  dram.free(weights);
  dram.allocate(4, 32, {MemoryKind::ACTIVATIONS, "x"});
  const BankAllocator::Usage& usage = dram.usage();
  EXPECT_EQ(usage.used_bytes, 4 * 64);
  EXPECT_EQ(usage.peak_bytes, 4 * 96);
  EXPECT_THAT(usage.used_by_kind, testing::ElementsAre(0, 4 * 32, 4 * 32, 0, 0));
  EXPECT_THAT(usage.peak_by_kind, testing::ElementsAre(4 * 64, 4 * 32, 4 * 32, 0, 0));
  dram.free(cache);
  EXPECT_EQ(usage.used_by_kind[1], 0);
  EXPECT_EQ(usage.peak_by_kind[1], 4 * 32);
}

TEST(BankAllocator, AFailureSaysWhatWasAskedWhatIsFreeWhoHoldsTheRestAndWhatToTry) {
  BankAllocator dram(
      {.name = "DRAM", .board = "n150", .banks = 10, .begin = 0, .end = 1'000'000'000, .alignment = 1000});
  dram.allocate(10, 500'000'000, {MemoryKind::WEIGHTS, "layers.0.w1"});
  dram.allocate(10, 300'000'000, {MemoryKind::KV_CACHE, "k_cache"});
  EXPECT_THAT(
      [&] {
        dram.allocate(20, 200'000'000, {MemoryKind::ACTIVATIONS, "layers.3.mlp.linear"});
      },
      ThrowsMessage<base::OutOfMemory>(AllOf(
          HasSubstr("[allocate] 4000.0 MB for layers.3.mlp.linear (activations)"), HasSubstr("DRAM of one n150 chip"),
          HasSubstr("20 pages of 200000000 bytes over 10 banks"), HasSubstr("400.0 MB a bank"),
          HasSubstr("of 10000.0 MB in all 2000.0 MB are free"), HasSubstr("the largest hole is 200.0 MB a bank"),
          HasSubstr("held by: weights 5000.0 MB, KV cache 3000.0 MB;"),
          HasSubstr("try a smaller precision (--precision bfp8 or bfp4)"), Not(HasSubstr("\n")))));
}

TEST(BankAllocator, AFailureLeavesEverythingAsItWas) {
  BankAllocator dram(small_dram());
  dram.allocate(4, 64, kActivation);
  EXPECT_THAT([&] { dram.allocate(4, 1024, kActivation); },
              ThrowsMessage<base::OutOfMemory>(HasSubstr("held by: activations")));
  EXPECT_EQ(dram.usage().used_bytes, 4 * 64);
  EXPECT_EQ(dram.usage().peak_bytes, 4 * 64);
  EXPECT_EQ(dram.allocate(4, 1024 - 64, kActivation), 64);
}

TEST(BankAllocator, AnEmptyMemoryIsHeldByNobody) {
  BankAllocator dram(small_dram());
  EXPECT_THAT([&] { dram.allocate(4, 1056, kActivation); },
              ThrowsMessage<base::OutOfMemory>(HasSubstr("held by: nothing")));
}

/// One flag for each aligned unit of a bank: what the allocator's holes stand for.
class NaiveBank {
 public:
  explicit NaiveBank(const BankAllocator::Layout& layout)
      : unit_(layout.alignment),
        begin_(round_up(layout.begin, unit_)),
        used_(static_cast<std::size_t>(layout.end / unit_ - begin_ / unit_), false),
        top_down_(layout.direction == Direction::TOP_DOWN) {}

  std::optional<std::int64_t> allocate(std::int64_t bytes) {
    const auto length = static_cast<std::size_t>(bytes / unit_);
    if (length > used_.size()) return std::nullopt;
    for (std::size_t i = 0; i + length <= used_.size(); ++i) {
      const std::size_t first = top_down_ ? used_.size() - length - i : i;
      const auto from = used_.begin() + static_cast<std::ptrdiff_t>(first);
      if (std::find(from, from + static_cast<std::ptrdiff_t>(length), true) !=
          from + static_cast<std::ptrdiff_t>(length))
        continue;
      std::fill_n(from, length, true);
      return begin_ + static_cast<std::int64_t>(first) * unit_;
    }
    return std::nullopt;
  }
  void free(std::int64_t address, std::int64_t bytes) {
    std::fill_n(used_.begin() + (address - begin_) / unit_, bytes / unit_, false);
  }
  std::int64_t used_bytes() const { return std::count(used_.begin(), used_.end(), true) * unit_; }

 private:
  std::int64_t unit_;
  std::int64_t begin_;
  std::vector<bool> used_;
  bool top_down_;
};

class BankAllocatorRandomly : public testing::TestWithParam<Direction> {};
INSTANTIATE_TEST_SUITE_P(Directions, BankAllocatorRandomly, testing::Values(Direction::BOTTOM_UP, Direction::TOP_DOWN));

TEST_P(BankAllocatorRandomly, AgreesWithANaiveModel) {
  const BankAllocator::Layout layout{
      .name = "memory", .board = "b", .banks = 12, .begin = 70, .end = 8200, .alignment = 32, .direction = GetParam()};
  BankAllocator allocator(layout);
  NaiveBank naive(layout);
  struct Held {
    std::int64_t address;
    std::int64_t bytes;
  };
  std::vector<Held> held;
  std::mt19937 random(7);
  std::int64_t refused = 0;
  std::int64_t peak = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (!held.empty() && random() % 5 < 2) {
      std::swap(held[random() % held.size()], held.back());
      allocator.free(held.back().address);
      naive.free(held.back().address, held.back().bytes);
      held.pop_back();
    } else {
      const std::int64_t pages = 1 + random() % 40;
      const std::int64_t page_bytes = 1 + random() % 200;
      const std::int64_t bytes = div_up(pages, 12) * round_up(page_bytes, 32);
      const std::optional<std::int64_t> expected = naive.allocate(bytes);
      if (expected) {
        ASSERT_EQ(allocator.allocate(pages, page_bytes, kActivation), *expected) << "step " << step;
        held.push_back({*expected, bytes});
      } else {
        ++refused;
        ASSERT_THROW(allocator.allocate(pages, page_bytes, kActivation), base::OutOfMemory) << "step " << step;
      }
    }
    ASSERT_EQ(allocator.usage().used_bytes, 12 * naive.used_bytes()) << "step " << step;
    peak = std::max(peak, allocator.usage().used_bytes);
  }
  EXPECT_GT(refused, 100);
  EXPECT_EQ(allocator.usage().peak_bytes, peak);
  for (const Held& piece : held) allocator.free(piece.address);
  EXPECT_EQ(allocator.usage().used_bytes, 0);
  EXPECT_NO_THROW(allocator.allocate(12, (8200 / 32 - 3) * 32, kActivation)); // one hole again
}

TEST(MemoryKind, PrintsAsReportsShowIt) {
  EXPECT_EQ(to_string(MemoryKind::WEIGHTS), "weights");
  EXPECT_EQ(to_string(MemoryKind::KV_CACHE), "KV cache");
  EXPECT_EQ(to_string(MemoryKind::ACTIVATIONS), "activations");
}

} // namespace
} // namespace tessera::runtime
