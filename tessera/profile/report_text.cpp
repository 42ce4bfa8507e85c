#include <fmt/format.h>

#include <algorithm>

#include "tessera/profile/advice.hpp"
#include "tessera/profile/report.hpp"

namespace tessera::profile {
namespace {

using nlohmann::json;

constexpr double kNsPerMs = 1e6;
constexpr double kNsPerUs = 1e3;
constexpr double kGiga = 1e9;
constexpr std::size_t kMostGaps = 5;

std::string heading(const Report& report) {
  const Origin& origin = report.origin;
  std::string text = fmt::format("{} in {} on {} ({}), {} threads; all figures measured on this host\n",
                                 origin.model.empty() ? "?" : origin.model, origin.precision, origin.board,
                                 origin.numerics, origin.threads);
  if (origin.read_bytes_per_s > 0.0 && origin.flop_per_s > 0.0) {
    text += fmt::format("the machine: memory reads {:.1f} GB/s, products {:.0f} GFLOP/s\n",
                        origin.read_bytes_per_s / kGiga, origin.flop_per_s / kGiga);
  }
  if (report.dropped > 0) text += fmt::format("{} later events were dropped: the profile was full\n", report.dropped);
  return text;
}

std::string to_line(const QueueRow& queue) {
  const auto percent = [&](double part_ns) { return 100.0 * queue.share(part_ns); };
  std::string text =
      fmt::format("{}: {:.2f} ms; ops {:.1f} %, writes {:.1f} %, reads {:.1f} %, waits {:.1f} %, gaps {:.1f} %\n",
                  queue.name, queue.elapsed_ns / kNsPerMs, percent(queue.op_ns), percent(queue.write_ns),
                  percent(queue.read_ns), percent(queue.wait_ns), percent(queue.gap_ns));
  if (queue.gaps > 0) {
    text += fmt::format("  {} gaps, the largest {:.1f} us between {} and {}\n", queue.gaps,
                        static_cast<double>(queue.largest_gap.largest_ns) / kNsPerUs, queue.largest_gap.before,
                        queue.largest_gap.after);
  }
  if (queue.replays > 0) {
    text +=
        fmt::format("  {} replays, {:.1f} us each; {:.1f} % of the time is gaps inside them\n", queue.replays,
                    queue.replay_ns / static_cast<double>(queue.replays) / kNsPerUs, percent(queue.gap_in_replays_ns));
  }
  return text;
}

std::string to_text(const std::vector<GapRow>& gaps) {
  std::string text =
      fmt::format("{:<74} {:>7} {:>10} {:>9} {:>11}\n", "gaps between", "count", "total ms", "mean us", "largest us");
  for (std::size_t i = 0; i < std::min(gaps.size(), kMostGaps); ++i) {
    const GapRow& gap = gaps[i];
    text += fmt::format("{:<74} {:>7} {:>10.3f} {:>9.1f} {:>11.1f}\n",
                        fmt::format("  {}: {} and {}", gap.queue, gap.before, gap.after), gap.count,
                        gap.total_ns / kNsPerMs, gap.total_ns / static_cast<double>(gap.count) / kNsPerUs,
                        static_cast<double>(gap.largest_ns) / kNsPerUs);
  }
  return text;
}

std::string to_text(const std::vector<TimeRow>& rows, const char* heading) {
  std::string text;
  for (const TimeRow& row : rows) {
    text += fmt::format("{}{} {:.2f} ms ({:.0f} %)", text.empty() ? "" : ", ", row.name, row.time_ns / kNsPerMs,
                        100.0 * row.share);
  }
  return text.empty() ? "" : fmt::format("{}: {}\n", heading, text);
}

json to_json(const QueueRow& queue) {
  return {{"name", queue.name},
          {"host_time_ns", queue.elapsed_ns},
          {"ops_ns", queue.op_ns},
          {"writes_ns", queue.write_ns},
          {"reads_ns", queue.read_ns},
          {"waits_ns", queue.wait_ns},
          {"gaps_ns", queue.gap_ns},
          {"gaps", queue.gaps},
          {"gaps_in_replays_ns", queue.gap_in_replays_ns},
          {"largest_gap_ns", queue.largest_gap.largest_ns},
          {"largest_gap_before", queue.largest_gap.before},
          {"largest_gap_after", queue.largest_gap.after},
          {"replays", queue.replays},
          {"replays_ns", queue.replay_ns}};
}

json to_json(const GapRow& gap) {
  return {{"queue", gap.queue}, {"before", gap.before},         {"after", gap.after},
          {"count", gap.count}, {"host_time_ns", gap.total_ns}, {"largest_ns", gap.largest_ns}};
}

json to_json(const TimeRow& row) {
  return {{"name", row.name}, {"host_time_ns", row.time_ns}, {"share", row.share}};
}

json to_json(const Origin& origin) {
  return {{"version", origin.version},
          {"command", origin.command},
          {"model", origin.model},
          {"board", origin.board},
          {"precision", origin.precision},
          {"numerics", origin.numerics},
          {"isa", origin.isa},
          {"threads", origin.threads},
          {"chips", origin.chips},
          {"read_gb_per_s", origin.read_bytes_per_s / kGiga},
          {"peak_gflop_per_s", origin.flop_per_s / kGiga},
          {"cache_bytes", origin.cache_bytes}};
}

template <typename Row>
json array_of(const std::vector<Row>& rows) {
  json array = json::array();
  for (const Row& row : rows) array.push_back(to_json(row));
  return array;
}

} // namespace

std::string op_table(const nlohmann::json& ops, int indent) {
  std::string text = fmt::format("{:{}}{:<42} {:>7} {:>10} {:>7} {:>9} {:>8} {:>9} {:>8}  {}\n", "", indent, "op",
                                 "count", "total ms", "share", "mean us", "GB/s", "GFLOP/s", "threads", "bound by");
  for (const json& op : ops) {
    const auto number = [&](const char* key) { return op.at(key).get<double>(); };
    text += fmt::format("{:{}}{:<42} {:>7} {:>10.3f} {:>5.1f} % {:>9.1f} {:>8.1f} {:>9.1f} {:>8.1f}  {}\n", "", indent,
                        op.at("name").get<std::string>(), op.at("count").get<std::int64_t>(),
                        number("host_time_ns") / kNsPerMs, 100.0 * number("share"), number("mean_ns") / kNsPerUs,
                        number("bytes_per_s") / kGiga, number("flop_per_s") / kGiga, number("threads"),
                        op.at("bound_by").get<std::string>());
  }
  return text;
}

nlohmann::json to_json(const std::vector<OpRow>& ops) {
  json array = json::array();
  for (const OpRow& op : ops) {
    array.push_back({{"name", op.name},
                     {"kind", to_string(op.kind)},
                     {"count", op.count},
                     {"host_time_ns", op.total_ns},
                     {"share", op.share},
                     {"mean_ns", op.mean_ns()},
                     {"bytes_per_s", op.bytes_per_s},
                     {"flop_per_s", op.flop_per_s},
                     {"read_share", op.read_share},
                     {"flop_share", op.flop_share},
                     {"threads", op.threads},
                     {"idle_thread_share", op.idle_share},
                     {"overhead_share", op.overhead_share},
                     {"bound_by", to_string(op.bound)}});
  }
  return array;
}

std::string to_table(const Report& report) {
  std::string text = heading(report) + "\n";
  if (report.ops.empty()) return text + "no programs ran\n";
  text += op_table(to_json(report.ops), 0) + "\n";
  for (const QueueRow& queue : report.queues) text += to_line(queue);
  if (!report.gaps.empty()) text += to_text(report.gaps);
  text += to_text(report.threads, "threads at work");
  text += to_text(report.stages, "stages");
  text += "\nadvice:\n";
  const auto advice = advise(report);
  for (const std::string& sentence : advice) text += fmt::format("- {}\n", sentence);
  return advice.empty() ? text + "- nothing stands out\n" : text;
}

nlohmann::json to_json(const Report& report) {
  return {
      {"origin", to_json(report.origin)},    {"host_time_ns", report.elapsed_ns}, {"dropped_events", report.dropped},
      {"ops", to_json(report.ops)},          {"queues", array_of(report.queues)}, {"gaps", array_of(report.gaps)},
      {"threads", array_of(report.threads)}, {"stages", array_of(report.stages)}, {"advice", advise(report)}};
}

} // namespace tessera::profile
