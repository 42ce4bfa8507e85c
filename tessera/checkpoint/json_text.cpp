#include "tessera/checkpoint/json_text.hpp"

#include <cstdint>
#include <set>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::checkpoint {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;

/// Checked before parsing, so that no code that walks the parsed value by recursion meets a depth bomb.
void require_shallow(std::string_view text, std::string_view where) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      base::require<base::IoError>(
          ++depth <= kMaxDepth, "[json] {} may nest at most {} levels; it nests deeper at byte {}; the file is damaged",
          where, kMaxDepth, i);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
}

} // namespace

nlohmann::json parse_json(std::string_view text, std::string_view where) {
  require_shallow(text, where);
  // The JSON library keeps the last of two equal keys; which one a writer meant is unknown, so they are refused.
  std::vector<std::set<std::string>> open_objects;
  const auto check_keys = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key) {
      const std::string& key = parsed.get_ref<const std::string&>();
      base::require<base::IoError>(open_objects.back().insert(key).second,
                                   "[json] keys must be unique; {} has \"{}\" twice in one object; remove one", where,
                                   printable(key));
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check_keys);
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line ...": the bracketed name says nothing to a user.
    const std::string_view what = error.what();
    const std::size_t bracket = what.find("] ");
    throw base::IoError(fmt::format("[json] {} must be valid JSON; received: {}; correct the file or fetch it again",
                                    where, printable(bracket == what.npos ? what : what.substr(bracket + 2), 160)));
  }
}

std::string printable(std::string_view text, std::size_t max_length) {
  std::string line(text.substr(0, max_length));
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text.size() > max_length) line += "...";
  return line;
}

std::string printable_json(const nlohmann::json& value) {
  if (value.is_structured() && value.size() > 16) {
    return fmt::format("{} of {} values", value.is_array() ? "an array" : "an object", value.size());
  }
  return printable(value.dump(-1, ' ', true, json::error_handler_t::replace), 60);
}

} // namespace tessera::checkpoint
