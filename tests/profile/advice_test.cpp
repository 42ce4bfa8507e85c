// Each advice appears just above its threshold and not just below.

#include "tessera/profile/advice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::profile {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A queue of 1000 ns that computes all but what is taken away.
QueueRow busy_queue() {
  return {.name = "queue 0", .elapsed_ns = 1000.0, .op_ns = 1000.0};
}

Report report_of(QueueRow queue) {
  Report report;
  report.queues = {std::move(queue)};
  return report;
}

Report report_of(OpRow op) {
  Report report;
  report.ops = {std::move(op)};
  return report;
}

TEST(Advice, IsSilentWhereNothingStandsOut) {
  EXPECT_THAT(advise(Report{}), IsEmpty());
  EXPECT_THAT(advise(report_of(busy_queue())), IsEmpty());
  EXPECT_THAT(advise(report_of(OpRow{.name = "linear", .share = 1.0, .bound = Bound::KERNEL})), IsEmpty());
}

TEST(Advice, ToUseATraceFollowsFromGapsWithoutReplays) {
  QueueRow queue = busy_queue();
  queue.gaps = 7;
  queue.gap_ns = 101.0;
  EXPECT_THAT(advise(report_of(queue)),
              ElementsAre(AllOf(HasSubstr("queue 0"), HasSubstr("10.1 %"), HasSubstr("7 gaps"), HasSubstr("trace"))));
  queue.gap_ns = 99.0;
  EXPECT_THAT(advise(report_of(queue)), IsEmpty());
  queue.gap_ns = 500.0;
  queue.op_ns = 0.0; // of transfers only
  EXPECT_THAT(advise(report_of(queue)), IsEmpty());
}

TEST(Advice, ToShortenTheHostsPartFollowsFromGapsOutsideReplays) {
  QueueRow queue = busy_queue();
  queue.replays = 3;
  queue.gap_ns = 151.0;
  queue.gap_in_replays_ns = 50.0;
  queue.largest_gap = {.before = "to_host", .after = "embedding"};
  EXPECT_THAT(advise(report_of(queue)), ElementsAre(AllOf(HasSubstr("10.1 %"), HasSubstr("outside its replays"),
                                                          HasSubstr("to_host and embedding"))));
  queue.gap_in_replays_ns = 52.0;
  EXPECT_THAT(advise(report_of(queue)), IsEmpty());
}

TEST(Advice, ToUseASecondQueueFollowsFromTransfersBesideComputing) {
  QueueRow queue = busy_queue();
  queue.write_ns = 30.0;
  queue.read_ns = 21.0;
  EXPECT_THAT(advise(report_of(queue)), ElementsAre(AllOf(HasSubstr("5.1 %"), HasSubstr("two command queues"))));
  queue.read_ns = 19.0;
  EXPECT_THAT(advise(report_of(queue)), IsEmpty());
  queue.read_ns = 500.0;
  Report two = report_of(queue);
  two.queues.push_back({.name = "queue 1", .elapsed_ns = 1000.0});
  EXPECT_THAT(advise(two), IsEmpty()) << "there is a second queue already";
}

TEST(Advice, ToWaitLessFollowsFromWaitsOfAQueueThatComputes) {
  QueueRow queue = busy_queue();
  queue.wait_ns = 101.0;
  EXPECT_THAT(advise(report_of(queue)), ElementsAre(AllOf(HasSubstr("waits for 10.1 %"), HasSubstr("second buffer"))));
  queue.wait_ns = 99.0;
  EXPECT_THAT(advise(report_of(queue)), IsEmpty());
  queue.wait_ns = 900.0;
  queue.op_ns = 0.0;
  EXPECT_THAT(advise(report_of(queue)), IsEmpty()) << "a queue of transfers is meant to wait";
}

TEST(Advice, ToStoreWeightsSmallerFollowsFromADominantReaderOfThem) {
  OpRow op{.name = "linear", .share = 0.41, .read_share = 0.8, .bound = Bound::MEMORY, .weight_dtype = "BFLOAT16"};
  EXPECT_THAT(advise(report_of(op)), ElementsAre(AllOf(HasSubstr("linear takes 41.0 %"), HasSubstr("80 %"),
                                                       HasSubstr("BFLOAT16"), HasSubstr("--precision"))));
  op.weight_dtype = "BFLOAT4_B";
  EXPECT_THAT(advise(report_of(op)), ElementsAre(AllOf(HasSubstr("small already"), HasSubstr("more users"))));
  op.share = 0.39;
  EXPECT_THAT(advise(report_of(op)), IsEmpty());
  op = {.name = "add", .share = 0.9, .bound = Bound::MEMORY};
  EXPECT_THAT(advise(report_of(op)), IsEmpty()) << "it reads no weights";
}

TEST(Advice, ToComputeLessFollowsFromADominantOpAtTheLimitOfArithmetic) {
  OpRow op{.name = "linear", .share = 0.41, .flop_share = 0.85, .bound = Bound::ARITHMETIC};
  EXPECT_THAT(advise(report_of(op)), ElementsAre(AllOf(HasSubstr("85 %"), HasSubstr("LoFi"))));
  op.share = 0.39;
  EXPECT_THAT(advise(report_of(op)), IsEmpty());
}

/// Two ops that leave some of four threads idle, for `share` of the time and 5 % of it.
Report idle_threads(double share, double threads) {
  Report report;
  report.origin.threads = 4;
  report.ops = {{.name = "linear", .share = 0.80, .threads = threads, .bound = Bound::KERNEL},
                {.name = "rms_norm", .share = share, .threads = threads, .bound = Bound::THREADS},
                {.name = "add", .share = 0.05, .threads = threads, .bound = Bound::THREADS}};
  return report;
}

TEST(Advice, ToGiveThreadsMoreWorkNamesTheOpsInWhichSomeTakeNoPart) {
  EXPECT_THAT(advise(idle_threads(0.06, 2.9)),
              ElementsAre(AllOf(HasSubstr("11.0 %"), HasSubstr("(rms_norm, add)"), HasSubstr("too few units"))));
  EXPECT_THAT(advise(idle_threads(0.04, 2.9)), IsEmpty());
}

TEST(Advice, ToShareWorkEvenlyNamesTheOpsInWhichAllTakePartAndYetIdle) {
  EXPECT_THAT(advise(idle_threads(0.06, 3.1)),
              ElementsAre(AllOf(HasSubstr("11.0 %"), HasSubstr("(rms_norm, add)"), HasSubstr("other programs"))));
  EXPECT_THAT(advise(idle_threads(0.04, 3.1)), IsEmpty());
}

TEST(Advice, ToHandOutLargerWorkNamesTheOpsThatAreTooShort) {
  Report report;
  report.ops = {{.name = "plus_one", .share = 0.06, .bound = Bound::HOST},
                {.name = "to_host", .kind = SliceKind::READ, .share = 0.9, .bound = Bound::HOST},
                {.name = "slice", .share = 0.05, .bound = Bound::HOST}};
  EXPECT_THAT(advise(report), ElementsAre(AllOf(HasSubstr("11.0 %"), HasSubstr("(plus_one, slice)"))));
  report.ops[0].share = 0.04;
  EXPECT_THAT(advise(report), IsEmpty());
}

} // namespace
} // namespace tessera::profile
