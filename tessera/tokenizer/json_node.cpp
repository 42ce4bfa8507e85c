#include "tessera/tokenizer/json_node.hpp"

#include <algorithm>
#include <cctype>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

using nlohmann::json;

const json kNull;

// Deepest nesting of arrays and objects. Counts brackets outside strings only; whether the text is valid JSON is the
// parser's matter.
std::size_t nesting_depth(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

std::string describe(const json& value) {
  if (value.is_string()) return "the string " + quote(value.get_ref<const std::string&>());
  if (value.is_number() || value.is_boolean()) return value.dump();
  return value.is_null() ? "nothing" : fmt::format("an {}", value.type_name());
}

} // namespace

JsonNode JsonNode::operator[](std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto found = value_->find(key);
  const json& member = found == value_->end() ? kNull : *found;
  // A key can come from the file itself (the name of a special token), with anything in it.
  const bool is_plain =
      std::all_of(key.begin(), key.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (!is_plain) return {member, fmt::format("{}[{}]", path_, quote(key))};
  return {member, fmt::format("{}{}{}", path_, path_.ends_with(' ') ? "" : ".", key)};
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) fail("an array");
  std::vector<JsonNode> out;
  out.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) out.emplace_back((*value_)[i], fmt::format("{}[{}]", path_, i));
  return out;
}

const std::string& JsonNode::string() const {
  if (!value_->is_string()) fail("a string");
  return value_->get_ref<const std::string&>();
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

std::int32_t JsonNode::id() const {
  return token_id(*value_, path_, "");
}

char32_t JsonNode::character() const {
  const std::string& text = string();
  std::size_t pos = 0;
  if (text.empty()) fail("a string of one character");
  const char32_t c = next_char(text, pos);
  if (pos != text.size()) fail("a string of one character");
  return c;
}

void JsonNode::fail(std::string_view required) const {
  throw base::InvalidArgument(fmt::format("[tokenizer] {} must be {}; received {}; correct the file or export it again",
                                          path_, required, describe(*value_)));
}

json parse_json(std::string_view text, std::string_view name) {
  const std::size_t depth = nesting_depth(text);
  base::require<base::IoError>(depth <= kMaxJsonDepth,
                               "[tokenizer] {} must be nested at most {} levels deep; received {}; it is not a "
                               "tokenizer",
                               name, kMaxJsonDepth, depth);
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    throw base::IoError(
        fmt::format("[tokenizer] {} must be JSON; received {} bytes that break its grammar at byte {}; "
                    "fetch or export the file again",
                    name, text.size(), error.byte));
  } catch (const json::exception&) {
    throw base::IoError(
        fmt::format("[tokenizer] {} must be JSON; received a number out of range; fetch or export the "
                    "file again",
                    name));
  }
}

std::string quote(std::string_view text) {
  constexpr std::size_t kMaxShown = 80;
  const bool cut = text.size() > kMaxShown;
  const std::string shown = json(text.substr(0, kMaxShown)).dump(-1, ' ', true, json::error_handler_t::ignore);
  return cut ? shown + "..." : shown;
}

std::int32_t token_id(const json& value, std::string_view path, std::string_view key) {
  constexpr std::int64_t kMaxId =
      std::numeric_limits<std::int32_t>::max() - 1; // so that max id + 1 is an id's type too
  // The parser makes every whole number that is not negative unsigned; other code may not.
  const bool whole = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxId)
                                                : value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
                                                      value.get<std::int64_t>() <= kMaxId;
  if (!whole) { // not require(): quoting each key of a vocabulary would be slow
    throw base::InvalidArgument(
        fmt::format("[tokenizer] {}{} must be a token id in 0..{}; received {}; correct the file "
                    "or export it again",
                    path, key.empty() ? "" : "[" + quote(key) + "]", kMaxId, describe(value)));
  }
  return value.get<std::int32_t>();
}

} // namespace tessera::tokenizer
