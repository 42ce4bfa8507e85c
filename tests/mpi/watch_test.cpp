#include "tessera/mpi/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>

#include "tessera/base/error.hpp"

namespace tessera::mpi {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// What a rank was told.
struct Told {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> texts;

  void add(const std::string& text) {
    std::lock_guard lock(mutex);
    texts.push_back(text);
    changed.notify_all();
  }
  std::string wait() {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(30), [&] { return !texts.empty(); });
    return texts.empty() ? "nothing" : texts.front();
  }
};

class WatchTest : public testing::Test {
 protected:
  /// Watches of `times.size()` ranks, in this process.
  void open(const std::vector<Watch::Times>& times) {
    const std::size_t ranks = times.size();
    std::vector<Listener> listeners(ranks);
    std::vector<std::string> addresses;
    for (const Listener& listener : listeners) addresses.push_back(listener.address());
    told = std::vector<Told>(ranks);
    watches.resize(ranks);
    std::vector<std::thread> threads;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        watches[rank] = std::make_unique<Watch>(
            listeners[rank], static_cast<int>(rank), addresses,
            [&, rank](const std::string& text) { told[rank].add(text); }, times[rank]);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  void open(std::size_t ranks) { open(std::vector<Watch::Times>(ranks)); }

  std::vector<Told> told;
  std::vector<std::unique_ptr<Watch>> watches;
};

TEST_F(WatchTest, ARankThatEndsIsToldToAllOthers) {
  open(3);
  EXPECT_FALSE(watches[0]->lost());
  watches[1].reset(); // as the system closes the connections of a process that dies
  for (const std::size_t rank : {0U, 2U}) {
    EXPECT_EQ(told[rank].wait(), "[mesh] all 3 ranks must stay; rank 1 is lost: its process has ended");
    EXPECT_TRUE(watches[rank]->lost());
    EXPECT_EQ(watches[rank]->reason(), told[rank].wait());
  }
}

TEST_F(WatchTest, ARanksErrorIsToldWithItsText) {
  open(2);
  watches[1]->fail("[allocate] out of memory");
  watches[1].reset();
  EXPECT_THAT(told[0].wait(), HasSubstr("rank 1 is lost: it ended with the error: [allocate] out of memory"));
}

TEST_F(WatchTest, ARankThatIsDoneIsNotLost) {
  open(3);
  watches[0]->leave();
  watches[1]->leave();
  const auto wait_until_left = [&](std::size_t rank, int other) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!watches[rank]->has_left(other, milliseconds(0)) && std::chrono::steady_clock::now() < give_up)
      std::this_thread::yield();
    return watches[rank]->has_left(other, milliseconds(0));
  };
  EXPECT_TRUE(wait_until_left(2, 0));
  EXPECT_TRUE(wait_until_left(2, 1));
  EXPECT_TRUE(wait_until_left(1, 0));
  EXPECT_FALSE(watches[2]->has_left(1, std::chrono::hours(1)));
  EXPECT_FALSE(watches[0]->has_left(2, milliseconds(0)));
  watches[1].reset();
  watches[0].reset();
  EXPECT_FALSE(watches[2]->lost());
}

TEST_F(WatchTest, ASilentRankIsLost) {
  const Watch::Times silent{.beat = std::chrono::hours(1)};
  const Watch::Times impatient{.beat = milliseconds(20), .silence = milliseconds(1000)};
  open({impatient, silent});
  EXPECT_THAT(told[0].wait(), HasSubstr("rank 1 is lost: there was no sign of life of it for 1 s"));
  EXPECT_FALSE(watches[1]->lost());
}

TEST(Watch, ARankThatCannotBeReachedIsAnError) {
  const Listener listener;
  const Watch::Times times{.connect = milliseconds(200)};
  const std::string nobody = "1 1 127.0.0.1"; // a port that nobody listens at
  EXPECT_THAT(
      [&] {
        Watch(listener, 1, {nobody, listener.address()}, {}, times);
      },
      ThrowsMessage<base::IoError>(HasSubstr("rank 1 must reach rank 0")));
  EXPECT_THAT(
      [&] {
        Watch(listener, 0, {listener.address(), nobody}, {}, times);
      },
      ThrowsMessage<base::IoError>(HasSubstr("1 more ranks must reach rank 0")));
}

TEST(Watch, StrangersAreNotLetIn) {
  const Listener listener;
  const Listener other;
  const Watch::Times times{.connect = milliseconds(300)};
  // Rank 1 calls with the secret of another job.
  std::string wrong =
      other.address().substr(0, other.address().find(' ')) + listener.address().substr(listener.address().find(' '));
  std::thread stranger([&] { EXPECT_THROW(Watch(other, 1, {wrong, other.address()}, {}, times), base::IoError); });
  EXPECT_THROW(Watch(listener, 0, {listener.address(), other.address()}, {}, times), base::IoError);
  stranger.join();
}

} // namespace
} // namespace tessera::mpi
