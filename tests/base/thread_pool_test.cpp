#include "tessera/base/thread_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::base {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// How often each of `units` units ran.
std::vector<int> run_counted(ThreadPool& pool, std::int64_t units, int max_threads) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(units));
  pool.parallel_for(units, max_threads, [&](std::int64_t unit) { ++counts[static_cast<std::size_t>(unit)]; });
  return {counts.begin(), counts.end()};
}

class ThreadPoolSizes : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolSizes, testing::Values(1, 2, 3, 4));

TEST_P(ThreadPoolSizes, CountsTheCaller) {
  EXPECT_EQ(ThreadPool(GetParam()).threads(), GetParam());
}

TEST_P(ThreadPoolSizes, RunsEachUnitOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t units : {0, 1, 2, 3, 7, 64, 1000}) {
    for (const int max_threads : {1, 2, 8}) EXPECT_THAT(run_counted(pool, units, max_threads), Each(1)) << units;
  }
}

TEST_P(ThreadPoolSizes, RunsManySmallJobsOneAfterTheOther) {
  ThreadPool pool(GetParam());
  std::atomic<std::int64_t> total = 0;
  for (int job = 0; job < 2000; ++job) pool.parallel_for(4, GetParam(), [&](std::int64_t unit) { total += unit; });
  EXPECT_EQ(total, 2000 * (0 + 1 + 2 + 3));
}

TEST_P(ThreadPoolSizes, RethrowsAndIsUsableAgain) {
  ThreadPool pool(GetParam());
  const auto fail_at_five = [](std::int64_t unit) { require(unit != 5, "unit {} failed", unit); };
  EXPECT_THAT([&] { pool.parallel_for(100, GetParam(), fail_at_five); },
              ThrowsMessage<InvalidArgument>(HasSubstr("unit 5 failed")));
  EXPECT_THAT(run_counted(pool, 100, GetParam()), Each(1));
}

TEST_P(ThreadPoolSizes, HelpsSeveralCallersAtOnce) {
  ThreadPool pool(GetParam());
  constexpr int kCallers = 4;
  constexpr int kJobs = 200;
  std::vector<std::int64_t> sums(kCallers, 0);
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&pool, &sum = sums[caller]] {
      for (int job = 0; job < kJobs; ++job) {
        std::atomic<std::int64_t> total = 0;
        pool.parallel_for(17, 4, [&](std::int64_t unit) { total += unit; });
        sum += total;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(sums, Each(kJobs * (17 * 16 / 2)));
}

TEST(ThreadPool, DropsUnitsAfterAnError) {
  ThreadPool pool(1);
  int begun = 0;
  EXPECT_THROW(pool.parallel_for(100, 1,
                                 [&](std::int64_t unit) {
                                   ++begun;
                                   if (unit == 2) throw Unsupported("stop");
                                 }),
               Unsupported);
  EXPECT_EQ(begun, 3);
}

TEST(ThreadPool, RunsOnTheCallerAloneWhenAskedForOneThread) {
  ThreadPool pool(3);
  std::set<std::thread::id> threads; // no lock: that there is one thread is what is tested
  pool.parallel_for(100, 1, [&](std::int64_t) { threads.insert(std::this_thread::get_id()); });
  EXPECT_EQ(threads, std::set{std::this_thread::get_id()});
}

TEST(ThreadPool, RunsUnitsAtTheSameTime) {
  ThreadPool pool(3);
  std::mutex mutex;
  std::condition_variable all_here;
  int present = 0;
  // Each unit waits for the two others: with fewer than three threads this would time out.
  std::atomic<int> met = 0;
  pool.parallel_for(3, 3, [&](std::int64_t) {
    std::unique_lock lock(mutex);
    ++present;
    all_here.notify_all();
    if (all_here.wait_for(lock, std::chrono::seconds(30), [&] { return present == 3; })) ++met;
  });
  EXPECT_EQ(met, 3);
}

TEST(ThreadPool, SaysWhoWorkedWhen) {
  ThreadPool pool(2);
  WorkTimes times{.now = std::chrono::steady_clock::now(), .spans = {}};
  const auto start = times.now;
  pool.parallel_for(
      3, 1, [](std::int64_t) {}, &times);
  ASSERT_EQ(times.spans.size(), 1U);
  EXPECT_EQ(times.spans[0].thread, 0);
  EXPECT_EQ(times.spans[0].begin, start);
  EXPECT_EQ(times.spans[0].end, times.now);
  std::atomic<int> present = 0;
  const auto meet = [&](std::int64_t) {
    ++present;
    while (present < 2) std::this_thread::yield(); // so that both threads take part
  };
  pool.parallel_for(2, 2, meet, &times);
  ASSERT_EQ(times.spans.size(), 3U);
  EXPECT_EQ(times.spans[1].thread, 0);
  EXPECT_EQ(times.spans[2].thread, 1);
  for (const WorkSpan& span : {times.spans[1], times.spans[2]}) {
    EXPECT_GE(span.begin, times.spans[0].end);
    EXPECT_LE(span.begin, span.end);
    EXPECT_LE(span.end, times.now);
  }
}

TEST(ThreadPool, UsesAtMostTheThreadsAskedFor) {
  ThreadPool pool(4);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  pool.parallel_for(64, 2, [&](std::int64_t) {
    const int now = ++running;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    --running;
  });
  EXPECT_LE(most, 2);
}

/// A thread that calls parallel_for, from its construction until `leave`.
class OtherCaller {
 public:
  explicit OtherCaller(ThreadPool& pool)
      : thread_([this, &pool] {
          pool.parallel_for(1, 1, [this](std::int64_t) {
            inside_.store(true);
            inside_.notify_all();
            leave_.wait(false);
          });
        }) {
    inside_.wait(false);
  }
  ~OtherCaller() { leave(); }
  OtherCaller(const OtherCaller&) = delete;
  OtherCaller& operator=(const OtherCaller&) = delete;
  void leave() {
    leave_ = true;
    leave_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> inside_ = false;
  std::atomic<bool> leave_ = false;
  std::thread thread_;
};

/// Runs units until two threads are in one at the same time.
bool meets_a_helper(ThreadPool& pool) {
  std::atomic<int> present = 0;
  std::atomic<bool> met = false;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  pool.parallel_for(2, 2, [&](std::int64_t) {
    ++present;
    while (present < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    met = present == 2;
  });
  return met;
}

TEST(ThreadPool, AsManyCallersAsThreadsHaveOneEach) {
  ThreadPool pool(2);
  EXPECT_FALSE(pool.is_full());
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(meets_a_helper(pool));
    OtherCaller other(pool);
    std::set<std::thread::id> threads; // no lock: that there is one thread is what is tested
    bool full = true;
    pool.parallel_for(1000, 2, [&](std::int64_t) {
      threads.insert(std::this_thread::get_id());
      full = full && pool.is_full();
    });
    EXPECT_EQ(threads, std::set{std::this_thread::get_id()});
    EXPECT_TRUE(full);
  }
}

TEST(ThreadPool, MoreCallersThanThreadsAllComeToTheirEnd) {
  ThreadPool pool(2);
  OtherCaller first(pool);
  OtherCaller second(pool);
  OtherCaller third(pool);
  EXPECT_THAT(run_counted(pool, 100, 2), Each(1));
}

TEST(ThreadPool, AHelperLeavesForAnotherCaller) {
  ThreadPool pool(2);
  std::unique_ptr<OtherCaller> other;
  std::atomic<int> present = 0;
  std::atomic<bool> go_on = false;
  std::mutex mutex;
  std::vector<std::thread::id> after; // of the units that began once the other caller was there
  pool.parallel_for(100, 2, [&](std::int64_t) {
    if (go_on) {
      std::lock_guard lock(mutex);
      after.push_back(std::this_thread::get_id());
      return;
    }
    if (++present == 2) {
      other = std::make_unique<OtherCaller>(pool);
      go_on = true;
      go_on.notify_all();
    }
    go_on.wait(false);
  });
  EXPECT_EQ(after.size(), 98U);
  EXPECT_THAT(after, Each(std::this_thread::get_id()));
  other.reset();
  EXPECT_TRUE(meets_a_helper(pool)); // and comes back
}

TEST(ThreadPool, BodiesMayShareOutWorkThemselves) {
  ThreadPool pool(2);
  std::atomic<int> inner = 0;
  pool.parallel_for(8, 2, [&](std::int64_t) { pool.parallel_for(8, 2, [&](std::int64_t) { ++inner; }); });
  EXPECT_EQ(inner, 64);
}

TEST(ThreadPool, PinnedWorkersHaveAProcessorEach) {
  std::thread([] { // so that the test's own thread stays free
    const auto processors = [] {
      cpu_set_t set;
      CPU_ZERO(&set);
      EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof set, &set), 0);
      return CPU_COUNT(&set);
    };
    ThreadPool pool(2);
    pool.pin_workers();
    pin_this_thread(0);
    std::atomic<int> at_work = 0;
    pool.parallel_for(2, 2, [&](std::int64_t) {
      EXPECT_EQ(processors(), 1);
      ++at_work;
      while (at_work < 2) std::this_thread::yield(); // both threads take part
    });
  })
      .join();
}

TEST(ThreadPool, SharedPoolHasAThreadForEachProcessorThatTheProcessMayUse) {
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(&ThreadPool::shared(), &ThreadPool::shared());
  EXPECT_EQ(ThreadPool::shared().threads(), CPU_COUNT(&set));
}

} // namespace
} // namespace tessera::base
