#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/profile/trace_events.hpp"

namespace tessera::profile {
namespace {

using nlohmann::json;

constexpr std::int64_t kHostProcess = 1;
constexpr std::int64_t kCardProcess = 2; // predicted
constexpr int kMaxDepth = 16;
constexpr double kGiga = 1e9;
constexpr double kNsPerUs = 1e3;
constexpr double kMaxUs = 1e12; // 11 days: nanoseconds are exact up to there
constexpr std::size_t kShown = 60;

/// Text of a file made fit for a one-line message.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > kShown ? text.substr(0, kShown) + "..." : text;
}

/// Where in a file something stands; made a text only for a complaint.
struct Place {
  std::string_view file;
  std::int64_t event = -1;    // index into traceEvents, or -1
  std::string_view part = {}; // of the event, or of the file

  std::string text() const {
    std::string text = fmt::format("{}:", file);
    if (event >= 0) text += fmt::format(" traceEvents[{}]", event);
    if (!part.empty()) text += fmt::format(" \"{}\"", part);
    return text;
  }
};

/// Typed access to a JSON object; what is wrong is reported with the object's place in the file.
class Fields {
 public:
  Fields(const json& object, const Place& place) : object_(object), place_(place) {
    if (!object.is_object()) refuse("must be an object", object);
  }

  std::string text(const char* name, const char* absent) const {
    const json* const value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_string()) refuse_field(name, "a text", *value);
    return value->get<std::string>();
  }
  std::vector<std::string> texts(const char* name) const {
    const json* const value = find(name);
    if (value == nullptr) return {};
    const bool all_texts = value->is_array() &&
                           std::all_of(value->begin(), value->end(), [](const json& text) { return text.is_string(); });
    if (!all_texts) refuse_field(name, "an array of texts", *value);
    return value->get<std::vector<std::string>>();
  }
  std::int64_t amount(const char* name, std::int64_t absent) const {
    const json* const value = find(name);
    if (value == nullptr) return absent;
    constexpr std::int64_t kMost = std::int64_t{1} << 62;
    const bool good = value->is_number_integer() && *value >= 0 && *value <= kMost;
    if (!good) refuse_field(name, "a whole number that is not negative", *value);
    return value->get<std::int64_t>();
  }
  double number(const char* name, double absent) const {
    const json* const value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_number() || value->get<double>() < 0) refuse_field(name, "a number of at least 0", *value);
    return value->get<double>();
  }
  std::int64_t time_ns(const char* name) const {
    if (find(name) == nullptr) refuse(fmt::format("needs \"{}\"", name), object_);
    return time_ns(name, 0);
  }
  std::int64_t time_ns(const char* name, std::int64_t absent_ns) const {
    const json* const value = find(name);
    if (value == nullptr) return absent_ns;
    const bool good = value->is_number() && value->get<double>() >= 0 && value->get<double>() <= kMaxUs;
    if (!good) refuse_field(name, fmt::format("microseconds from 0 to {:g}", kMaxUs), *value);
    return std::llround(value->get<double>() * kNsPerUs);
  }
  Fields fields(const char* name) const {
    static const json kNone = json::object();
    const json* const value = find(name);
    return {value == nullptr ? kNone : *value, Place{.file = place_.file, .event = place_.event, .part = name}};
  }

  [[noreturn]] void refuse(const std::string& rule, const json& received) const {
    throw base::IoError(fmt::format("[profile] {} {}; received {}; the file is damaged or not a profile", place_.text(),
                                    rule, printable(received.dump(-1, ' ', true, json::error_handler_t::replace))));
  }

 private:
  [[noreturn]] void refuse_field(const char* name, const std::string& rule, const json& received) const {
    refuse(fmt::format("\"{}\" must be {}", name, rule), received);
  }
  const json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  const json& object_;
  Place place_;
};

Origin origin_of(const Fields& data) {
  return {.version = data.text("version", ""),
          .command = data.text("command", ""),
          .model = data.text("model", ""),
          .board = data.text("board", ""),
          .precision = data.text("precision", ""),
          .numerics = data.text("numerics", ""),
          .isa = data.text("isa", ""),
          .threads = data.amount("threads", 0),
          .chips = data.amount("chips", 1),
          .read_bytes_per_s = data.number("read_gb_per_s", 0.0) * kGiga,
          .flop_per_s = data.number("gflop_per_s", 0.0) * kGiga,
          .cache_bytes = data.amount("cache_bytes", 0)};
}

MathFidelity fidelity_of(const Fields& arguments) {
  const std::string name = arguments.text("math_fidelity", "HiFi4");
  for (const auto known : {MathFidelity::LoFi, MathFidelity::HiFi2, MathFidelity::HiFi3, MathFidelity::HiFi4}) {
    if (to_string(known) == name) return known;
  }
  arguments.refuse("\"math_fidelity\" must be LoFi, HiFi2, HiFi3 or HiFi4", name);
}

Operation operation_of(std::string name, const Fields& arguments) {
  return {.name = std::move(name),
          .scope = arguments.text("scope", ""),
          .inputs = arguments.texts("inputs"),
          .outputs = arguments.texts("outputs"),
          .work = {.matmul_flops = arguments.amount("matmul_flops", 0),
                   .fidelity = fidelity_of(arguments),
                   .vector_flops = arguments.amount("vector_flops", 0),
                   .dram_read_bytes = arguments.amount("dram_read_bytes", 0),
                   .dram_write_bytes = arguments.amount("dram_write_bytes", 0),
                   .l1_bytes = arguments.amount("l1_bytes", 0),
                   .ethernet_bytes = arguments.amount("ethernet_bytes", 0)}};
}

std::optional<SliceKind> kind_of(std::string_view category) {
  constexpr std::array kKinds{SliceKind::OP,     SliceKind::WRITE, SliceKind::READ,  SliceKind::WAIT,
                              SliceKind::REPLAY, SliceKind::WORK,  SliceKind::STAGE, SliceKind::PREDICTED};
  for (const SliceKind kind : kKinds) {
    if (to_string(kind) == category) return kind;
  }
  return std::nullopt;
}

TrackKind track_of(SliceKind kind) {
  if (kind == SliceKind::WORK) return TrackKind::THREAD;
  if (kind == SliceKind::PREDICTED) return TrackKind::PREDICTED;
  return kind == SliceKind::STAGE ? TrackKind::STAGES : TrackKind::QUEUE;
}

/// Takes the events one by one, so that a large file is never held as JSON in memory.
class Collector {
 public:
  explicit Collector(std::string_view where) : where_(where) {}

  void take_data(const json& data) {
    const Fields fields(data, Place{.file = where_, .part = "otherData"});
    profile_.origin = origin_of(fields);
    profile_.dropped = fields.amount("dropped_events", 0);
  }

  void take_event(const json& json_event) {
    const Fields event(json_event, Place{.file = where_, .event = events_++});
    const std::int64_t process = event.amount("pid", 0);
    if (process != kHostProcess && process != kCardProcess) return;
    const std::string phase = event.text("ph", "");
    const std::int64_t thread = event.amount("tid", 0);
    const std::string name = event.text("name", "");
    if (phase == "M" && name == "thread_name") names_[thread] = event.fields("args").text("name", "");
    const std::optional<SliceKind> kind = kind_of(event.text("cat", ""));
    if (phase != "X" || !kind || (*kind == SliceKind::PREDICTED) != (process == kCardProcess)) return;
    const auto entry = tracks_.try_emplace(thread, Track{.kind = track_of(*kind), .name = {}, .slices = {}}).first;
    if (entry->second.kind != track_of(*kind)) {
      event.refuse("must be of the sort of its track's other events", to_string(*kind));
    }
    const Fields arguments = event.fields("args");
    const std::int64_t begin_ns = event.time_ns("ts");
    entry->second.slices.push_back({.kind = *kind,
                                    .operation = number_of(operation_of(name, arguments)),
                                    .begin_ns = begin_ns,
                                    .end_ns = begin_ns + event.time_ns("dur"),
                                    .replay = arguments.amount("replay", 0),
                                    .threads = static_cast<int>(std::min<std::int64_t>(
                                        arguments.amount("threads", 0), std::numeric_limits<int>::max())),
                                    .work_ns = arguments.time_ns("work_us", 0),
                                    .covered_ns = arguments.time_ns("covered_us", 0)});
  }

  Profile finish() {
    for (auto& [thread, track] : tracks_) {
      track.name = names_.contains(thread) ? names_.at(thread) : fmt::format("track {}", thread);
      track.sort();
      profile_.tracks.push_back(std::move(track));
    }
    return std::move(profile_);
  }

 private:
  std::uint32_t number_of(Operation operation) {
    std::string key = fmt::format("{}\n{}", operation.name, operation.scope);
    for (const auto* operands : {&operation.inputs, &operation.outputs}) {
      for (const std::string& operand : *operands) key += '\n' + operand;
      key += '\n';
    }
    const OpWork& work = operation.work;
    key += fmt::format("{} {} {} {} {} {} {}", work.matmul_flops, static_cast<int>(work.fidelity), work.vector_flops,
                       work.dram_read_bytes, work.dram_write_bytes, work.l1_bytes, work.ethernet_bytes);
    const auto [entry, is_new] =
        numbers_.try_emplace(std::move(key), static_cast<std::uint32_t>(profile_.operations.size()));
    if (is_new) profile_.operations.push_back(std::move(operation));
    return entry->second;
  }

  std::string where_;
  std::int64_t events_ = 0;
  Profile profile_;
  std::map<std::int64_t, Track> tracks_;
  std::map<std::int64_t, std::string> names_;
  std::map<std::string, std::uint32_t> numbers_; // of operations, by all they say
};

} // namespace

Profile parse_trace_events(std::string_view text, std::string_view where) {
  Collector collector(where);
  std::string section;
  bool has_events = false;
  // Depths: 0 the file's object, 1 what it holds, 2 an event.
  const auto take = [&](int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    base::require<base::IoError>(depth <= kMaxDepth, "[profile] {} may nest at most {} levels; it nests deeper", where,
                                 kMaxDepth);
    if (event == Event::key && depth == 1) section = parsed.get<std::string>();
    if (event == Event::array_start && depth == 1 && section == "traceEvents") has_events = true;
    const bool whole = event == Event::object_end || event == Event::array_end || event == Event::value;
    if (whole && depth == 1 && section == "otherData") collector.take_data(parsed);
    const bool is_event = whole && depth == 2 && section == "traceEvents";
    if (is_event) collector.take_event(parsed);
    return !is_event;
  };
  try {
    const json rest = json::parse(text.begin(), text.end(), take);
    base::require<base::IoError>(
        has_events, "[profile] {} must hold \"traceEvents\", as --profile writes them; it does not", where);
  } catch (const json::exception& error) {
    const std::string_view what = error.what();
    const std::size_t bracket = what.find("] "); // behind the library's name for the error
    throw base::IoError(fmt::format("[profile] {} must be JSON; {}", where,
                                    printable(std::string(bracket == what.npos ? what : what.substr(bracket + 2)))));
  }
  return collector.finish();
}

Profile read_trace_events(const std::filesystem::path& path) {
  const auto file = base::MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse_trace_events({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

} // namespace tessera::profile
