#include "tessera/profile/advice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

namespace tessera::profile {
namespace {

// Shares from which a thing is worth a sentence: of a queue's time, or of the time of all ops.
constexpr double kGapShare = 0.10;
constexpr double kTransferShare = 0.05;
constexpr double kWaitShare = 0.10;
constexpr double kDominantShare = 0.40;
constexpr double kBoundShare = 0.10;
// From this share of the threads on, nearly all take part.
constexpr double kMostThreads = 0.75;
constexpr std::size_t kMostNames = 4;

using Advice = std::optional<std::string>;

double percent(double share) {
  return 100.0 * share;
}

Advice use_a_trace(const QueueRow& queue) {
  const double share = queue.share(queue.gap_ns);
  if (share < kGapShare || queue.replays > 0 || queue.op_ns == 0.0) return std::nullopt;
  return fmt::format(
      "{} stands still for {:.1f} % of its time in {} gaps while the host prepares the next op, and replays nothing: "
      "capture the step as a trace (begin_trace_capture, execute_trace)",
      queue.name, percent(share), queue.gaps);
}

Advice shorten_the_host_between_replays(const QueueRow& queue) {
  const double share = queue.share(queue.gap_ns - queue.gap_in_replays_ns);
  if (share < kGapShare || queue.replays == 0) return std::nullopt;
  return fmt::format(
      "{} stands still for {:.1f} % of its time outside its replays, longest between {} and {}: move what the host "
      "does "
      "there onto the device (sampling, positions), or queue the next replay before the last one's result is read",
      queue.name, percent(share), queue.largest_gap.before, queue.largest_gap.after);
}

Advice use_a_second_queue(const QueueRow& queue, std::size_t queues) {
  const double share = queue.share(queue.write_ns + queue.read_ns);
  if (share < kTransferShare || queues > 1 || queue.op_ns == 0.0) return std::nullopt;
  return fmt::format(
      "transfers take {:.1f} % of the time of {}, which also computes: open the device with two command queues and put "
      "the transfers on the second",
      percent(share), queue.name);
}

Advice wait_less(const QueueRow& queue) {
  const double share = queue.share(queue.wait_ns);
  // A queue of transfers waits for the one that computes: that is how it should be.
  if (share < kWaitShare || queue.op_ns == 0.0) return std::nullopt;
  return fmt::format(
      "{} computes and yet waits for {:.1f} % of its time for events of the other queue: start the transfers a step "
      "earlier, into a second buffer",
      queue.name, percent(share));
}

Advice store_weights_smaller(const Report& report) {
  if (report.ops.empty()) return std::nullopt;
  const OpRow& op = report.ops.front();
  if (op.share < kDominantShare || op.bound != Bound::MEMORY || op.weight_dtype.empty()) return std::nullopt;
  const bool smallest = op.weight_dtype == "BFLOAT4_B" || op.weight_dtype == "BFLOAT2_B";
  const std::string figures =
      fmt::format("{} takes {:.1f} % of the ops' time and reads at {:.0f} % of the machine's memory", op.name,
                  percent(op.share), percent(op.read_share));
  if (smallest) return figures + ": its weights are small already; more users a step share the reads";
  return fmt::format("{}: weights in fewer bits than {} are read faster (--precision bfp8, performance or bfp4)",
                     figures, op.weight_dtype);
}

Advice compute_less(const Report& report) {
  if (report.ops.empty()) return std::nullopt;
  const OpRow& op = report.ops.front();
  if (op.share < kDominantShare || op.bound != Bound::ARITHMETIC) return std::nullopt;
  return fmt::format(
      "{} takes {:.1f} % of the ops' time at {:.0f} % of the machine's products: only fewer or cheaper products make "
      "it "
      "faster (LoFi with BFLOAT4_B weights: --precision performance or bfp4)",
      op.name, percent(op.share), percent(op.flop_share));
}

/// The ops of one bound that also fulfil `also`: their share of the time of all, and the names of the longest.
template <typename Condition>
std::pair<double, std::string> ops_bound_by(const Report& report, Bound bound, const Condition& also) {
  double share = 0.0;
  std::vector<std::string> names;
  for (const OpRow& op : report.ops) {
    if (op.bound != bound || op.kind != SliceKind::OP || !also(op)) continue;
    share += op.share;
    if (names.size() < kMostNames) names.push_back(op.name);
  }
  return {share, fmt::format("{}", fmt::join(names, ", "))};
}

Advice give_more_threads_work(const Report& report) {
  const double all = static_cast<double>(report.origin.threads);
  const auto [share, names] =
      ops_bound_by(report, Bound::THREADS, [&](const OpRow& op) { return op.threads < kMostThreads * all; });
  if (share < kBoundShare) return std::nullopt;
  return fmt::format(
      "ops in which some threads take no part need {:.1f} % of the ops' time ({}): they have too few units of work to "
      "share; more users a step or longer rows give them more",
      percent(share), names);
}

Advice share_work_evenly(const Report& report) {
  const double all = static_cast<double>(report.origin.threads);
  const auto [share, names] =
      ops_bound_by(report, Bound::THREADS, [&](const OpRow& op) { return op.threads >= kMostThreads * all; });
  if (share < kBoundShare) return std::nullopt;
  return fmt::format(
      "ops whose threads begin late or wait for each other need {:.1f} % of the ops' time ({}): see whether other "
      "programs take the processors; fewer --threads than processors leave room for them",
      percent(share), names);
}

Advice hand_out_larger_work(const Report& report) {
  const auto [share, names] = ops_bound_by(report, Bound::HOST, [](const OpRow&) { return true; });
  if (share < kBoundShare) return std::nullopt;
  return fmt::format(
      "ops too short for what it costs to hand their work out take {:.1f} % of the ops' time ({}): fuse them with "
      "their "
      "neighbours, or give a step more users",
      percent(share), names);
}

} // namespace

std::vector<std::string> advise(const Report& report) {
  std::vector<std::string> sentences;
  const auto take = [&](Advice advice) {
    if (advice) sentences.push_back(*std::move(advice));
  };
  for (const QueueRow& queue : report.queues) {
    take(use_a_trace(queue));
    take(shorten_the_host_between_replays(queue));
    take(use_a_second_queue(queue, report.queues.size()));
    take(wait_less(queue));
  }
  take(store_weights_smaller(report));
  take(compute_less(report));
  take(give_more_threads_work(report));
  take(share_work_evenly(report));
  take(hand_out_larger_work(report));
  return sentences;
}

} // namespace tessera::profile
