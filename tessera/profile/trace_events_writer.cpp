#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tessera/base/file.hpp"
#include "tessera/profile/trace_events.hpp"

namespace tessera::profile {
namespace {

using nlohmann::json;

constexpr int kHostProcess = 1;
constexpr int kCardProcess = 2; // predicted
constexpr std::int64_t kNsPerUs = 1000;
constexpr double kGiga = 1e9;
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

std::string json_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Appends a time as microseconds with three decimals: exact, which a double's text is not always.
void append_us(fmt::memory_buffer& text, std::int64_t ns) {
  fmt::format_to(std::back_inserter(text), "{}.{:03}", ns / kNsPerUs, ns % kNsPerUs);
}

json to_json(const Origin& origin, std::int64_t dropped) {
  json data{{"tool", "tessera"},           {"version", origin.version}, {"command", origin.command},
            {"model", origin.model},       {"board", origin.board},     {"precision", origin.precision},
            {"numerics", origin.numerics}, {"isa", origin.isa},         {"threads", origin.threads},
            {"chips", origin.chips},       {"dropped_events", dropped}};
  if (origin.read_bytes_per_s > 0) data["read_gb_per_s"] = origin.read_bytes_per_s / kGiga;
  if (origin.flop_per_s > 0) data["gflop_per_s"] = origin.flop_per_s / kGiga;
  if (origin.cache_bytes > 0) data["cache_bytes"] = origin.cache_bytes;
  return data;
}

/// The part of an event's arguments that all runs of an operation share, with a comma behind each; zeros are left out.
std::string arguments_of(const Operation& operation) {
  std::string text;
  const auto add = [&](const char* name, const json& value) {
    text += fmt::format("\"{}\":{},", name, json_text(value));
  };
  const auto add_amount = [&](const char* name, std::int64_t amount) {
    if (amount != 0) add(name, amount);
  };
  if (!operation.scope.empty()) add("scope", operation.scope);
  if (!operation.inputs.empty()) add("inputs", operation.inputs);
  if (!operation.outputs.empty()) add("outputs", operation.outputs);
  add_amount("matmul_flops", operation.work.matmul_flops);
  if (operation.work.matmul_flops != 0) add("math_fidelity", std::string(to_string(operation.work.fidelity)));
  add_amount("vector_flops", operation.work.vector_flops);
  add_amount("dram_read_bytes", operation.work.dram_read_bytes);
  add_amount("dram_write_bytes", operation.work.dram_write_bytes);
  add_amount("l1_bytes", operation.work.l1_bytes);
  add_amount("ethernet_bytes", operation.work.ethernet_bytes);
  return text;
}

class Writer {
 public:
  Writer(const Profile& profile, std::ostream& out) : profile_(profile), out_(out) {
    for (const Operation& operation : profile.operations) {
      names_.push_back(json_text(operation.name));
      arguments_.push_back(arguments_of(operation));
    }
  }

  void write() {
    append("{{\"displayTimeUnit\":\"ns\",\n\"otherData\":{},\n\"traceEvents\":[\n",
           json_text(to_json(profile_.origin, profile_.dropped)));
    append("{{\"ph\":\"M\",\"pid\":{},\"name\":\"process_name\",\"args\":{{\"name\":\"host (measured)\"}}}}",
           kHostProcess);
    if (std::ranges::any_of(profile_.tracks, [](const Track& track) { return track.kind == TrackKind::PREDICTED; })) {
      append(",\n{{\"ph\":\"M\",\"pid\":{},\"name\":\"process_name\",\"args\":{{\"name\":\"card (predicted)\"}}}}",
             kCardProcess);
    }
    int thread = 0;
    for (const Track& track : profile_.tracks) {
      ++thread;
      const int process = track.kind == TrackKind::PREDICTED ? kCardProcess : kHostProcess;
      append(",\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_name\",\"args\":{{\"name\":{}}}}}", process,
             thread, json_text(track.name));
      append(",\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{}}}}}",
             process, thread, thread);
      for (const Slice& slice : track.slices) write_slice(process, thread, slice);
    }
    append("\n]}}\n");
    flush();
  }

 private:
  template <typename... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  void write_slice(int process, int thread, const Slice& slice) {
    append(",\n{{\"ph\":\"X\",\"pid\":{},\"tid\":{},\"cat\":\"{}\",\"name\":{},\"ts\":", process, thread,
           to_string(slice.kind), names_[slice.operation]);
    append_us(text_, slice.begin_ns);
    append(",\"dur\":");
    append_us(text_, slice.time_ns());
    if (slice.kind == SliceKind::PREDICTED) {
      append(",\"args\":{{{}\"replay\":{}}}", arguments_[slice.operation], slice.replay);
    } else if (slice.kind != SliceKind::WORK && slice.kind != SliceKind::STAGE) {
      append(",\"args\":{{{}\"replay\":{},\"threads\":{},\"work_us\":", arguments_[slice.operation], slice.replay,
             slice.threads);
      append_us(text_, slice.work_ns);
      append(",\"covered_us\":");
      append_us(text_, slice.covered_ns);
      append("}}");
    }
    append("}}");
    if (text_.size() > kBlockBytes) flush();
  }

  void flush() {
    out_.write(text_.data(), static_cast<std::streamsize>(text_.size()));
    text_.clear();
  }

  const Profile& profile_;
  std::ostream& out_;
  std::vector<std::string> names_;     // of operations, quoted
  std::vector<std::string> arguments_; // of operations
  fmt::memory_buffer text_;
};

} // namespace

void write_trace_events(const Profile& profile, std::ostream& out) {
  Writer(profile, out).write();
}

void write_trace_events(const Profile& profile, const std::filesystem::path& path) {
  base::write_file_atomically(path, [&](std::ostream& out) { write_trace_events(profile, out); });
}

} // namespace tessera::profile
