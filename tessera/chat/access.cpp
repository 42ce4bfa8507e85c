// Attributes, methods, subscripts and slices.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/chat/program.hpp"
#include "tessera/chat/text.hpp"

namespace tessera::chat {
namespace {

using Method = Value (*)(const Value& self, const Arguments& arguments);

template <bool kLeft, bool kRight>
Value strip(const Value& self, const Arguments& arguments) {
  const Value set = arguments.get(0, "chars", nullptr);
  return stripped(self.string(), set.is_none() ? kBlanks : std::string_view(set.string()), kLeft, kRight);
}

Value split_text(const Value& self, const Arguments& arguments) {
  const Value separator = arguments.get(0, "sep", nullptr);
  const std::int64_t most = arguments.get(1, "maxsplit", std::int64_t{-1}).integer();
  base::require(separator.is_none() || !separator.string().empty(),
                "[chat template] split needs a separator; received an empty string");
  Value::List parts;
  for (std::string& part : split(self.string(), separator.is_none() ? "" : separator.string(),
                                 most < 0 ? std::string::npos : static_cast<std::size_t>(most)))
    parts.emplace_back(std::move(part));
  return parts;
}

/// Whether one of the texts, or the only one, holds.
template <typename Holds>
Value any_of(const Value& texts, Holds holds) {
  if (texts.is_string()) return static_cast<bool>(holds(texts.string()));
  return std::any_of(texts.list().begin(), texts.list().end(), [&](const Value& text) { return holds(text.string()); });
}

struct NamedMethod {
  const char* name;
  Method method;
};
constexpr NamedMethod kStringMethods[] = {
    {"capitalize", [](const Value& self, const Arguments&) -> Value { return capitalized(self.string()); }},
    {"endswith",
     [](const Value& self, const Arguments& arguments) {
       return any_of(arguments.get(0, "suffix", ""),
                     [&](const std::string& end) { return self.string().ends_with(end); });
     }},
    {"find",
     [](const Value& self, const Arguments& arguments) -> Value {
       const std::size_t found = self.string().find(arguments.get(0, "sub", "").string());
       if (found == std::string::npos) return std::int64_t{-1};
       return static_cast<std::int64_t>(characters(std::string_view(self.string()).substr(0, found)).size());
     }},
    {"lower", [](const Value& self, const Arguments&) -> Value { return in_lower_case(self.string()); }},
    {"lstrip", strip<true, false>},
    {"replace",
     [](const Value& self, const Arguments& arguments) -> Value {
       return replaced(self.string(), arguments.get(0, "old", "").string(), arguments.get(1, "new", "").string());
     }},
    {"rstrip", strip<false, true>},
    {"split", split_text},
    {"startswith",
     [](const Value& self, const Arguments& arguments) {
       return any_of(arguments.get(0, "prefix", ""),
                     [&](const std::string& begin) { return self.string().starts_with(begin); });
     }},
    {"strip", strip<true, true>},
    {"title", [](const Value& self, const Arguments&) -> Value { return in_title_case(self.string()); }},
    {"upper", [](const Value& self, const Arguments&) -> Value { return in_upper_case(self.string()); }},
};

constexpr NamedMethod kDictMethods[] = {
    {"get",
     [](const Value& self, const Arguments& arguments) -> Value {
       const Value* found = self.find(arguments.get(0, "key", "").string());
       return found != nullptr ? *found : arguments.get(1, "default", nullptr);
     }},
    {"items",
     [](const Value& self, const Arguments&) -> Value {
       Value::List list;
       for (const auto& [key, item] : self.dict()) list.emplace_back(Value::List{key, item});
       return list;
     }},
    {"keys", [](const Value& self, const Arguments&) -> Value { return items_of(self); }},
    {"values",
     [](const Value& self, const Arguments&) -> Value {
       Value::List list;
       for (const auto& entry : self.dict()) list.push_back(entry.second);
       return list;
     }},
};

constexpr NamedMethod kListMethods[] = {
    {"append",
     [](const Value& self, const Arguments& arguments) -> Value {
       self.list().push_back(arguments.get(0, "object", nullptr));
       return nullptr;
     }},
};

template <std::size_t kCount>
Value bound(const NamedMethod (&methods)[kCount], const Value& self, const std::string& name) {
  for (const auto& [known, method] : methods) {
    if (name != known) continue;
    return Value::Function([self, method = method](const Arguments& arguments) { return method(self, arguments); });
  }
  return Value::undefined(name);
}

/// Methods of Python's strings and lists: those that are not above are errors rather than undefined.
constexpr std::string_view kMethodsOfPython[] = {
    "casefold",  "center",    "clear",        "copy",      "count",      "encode",  "endswith",     "expandtabs",
    "extend",    "find",      "format",       "index",     "insert",     "isalnum", "isalpha",      "isascii",
    "isdecimal", "isdigit",   "isidentifier", "islower",   "isnumeric",  "isspace", "istitle",      "isupper",
    "join",      "ljust",     "maketrans",    "partition", "pop",        "remove",  "removeprefix", "removesuffix",
    "reverse",   "rfind",     "rindex",       "rjust",     "rpartition", "rsplit",  "sort",         "splitlines",
    "swapcase",  "translate", "zfill"};

/// An index of a list of `size`, counted from its end where it is negative.
std::optional<std::size_t> place(std::int64_t index, std::size_t size) {
  if (index < 0) index += static_cast<std::int64_t>(size);
  if (index < 0 || index >= static_cast<std::int64_t>(size)) return std::nullopt;
  return static_cast<std::size_t>(index);
}

} // namespace

Value attribute(const Value& value, const std::string& name) {
  base::require(!value.is_undefined(), "[chat template] {} is undefined, so it has no {}", value.undefined_name(),
                name);
  if (value.is_dict()) {
    const Value method = bound(kDictMethods, value, name);
    if (!method.is_undefined()) return method;
    const Value* found = value.find(name);
    return found != nullptr ? *found : Value::undefined(name);
  }
  const Value method = value.is_string() ? bound(kStringMethods, value, name)
                       : value.is_list() ? bound(kListMethods, value, name)
                                         : Value::undefined(name);
  // Other names are undefined in Jinja, not an error.
  base::require<base::Unsupported>(
      !method.is_undefined() || std::ranges::find(kMethodsOfPython, name) == std::end(kMethodsOfPython),
      "[chat template] the method {} of {} is not built yet", name, value.kind());
  return method;
}

Value subscript(const Value& value, const Value& key) {
  base::require(!value.is_undefined(), "[chat template] {} is undefined, so it has no [{}]", value.undefined_name(),
                key.text());
  if (value.is_dict()) {
    const Value* found = key.is_string() ? value.find(key.string()) : nullptr;
    if (found != nullptr) return *found;
    return key.is_string() ? bound(kDictMethods, value, key.string()) : Value::undefined(key.text());
  }
  if (!key.is_integer() || !(value.is_list() || value.is_string())) return Value::undefined(key.text());
  if (value.is_list()) {
    const auto at = place(key.integer(), value.list().size());
    return at ? value.list()[*at] : Value::undefined(key.text());
  }
  const std::vector<std::string> all = characters(value.string());
  const auto at = place(key.integer(), all.size());
  return at ? Value(all[*at]) : Value::undefined(key.text());
}

Value slice(const Value& value, const Value& first, const Value& last, const Value& step) {
  const auto given = [](const Value& bound) { return !bound.is_undefined() && !bound.is_none(); };
  const std::int64_t by = given(step) ? step.integer() : 1;
  base::require(by != 0, "[chat template] a slice must have a step other than 0");
  const Value::List all = items_of(value);
  const auto size = static_cast<std::int64_t>(all.size());
  // Python's slice.indices.
  const std::int64_t low = by > 0 ? 0 : -1;
  const std::int64_t high = by > 0 ? size : size - 1;
  const auto limit = [&](const Value& bound, std::int64_t otherwise) {
    if (!given(bound)) return otherwise;
    const std::int64_t index = bound.integer() < 0 ? bound.integer() + size : bound.integer();
    return std::clamp(index, low, high);
  };
  const std::int64_t begin = limit(first, by > 0 ? low : high);
  const std::int64_t end = limit(last, by > 0 ? high : low);
  Value::List part;
  std::string text;
  for (std::int64_t i = begin; by > 0 ? i < end : i > end; i += by) {
    const Value& item = all[static_cast<std::size_t>(i)];
    if (value.is_string()) {
      text += item.string();
    } else {
      part.push_back(item);
    }
  }
  return value.is_string() ? Value(std::move(text)) : Value(std::move(part));
}

Value::List items_of(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_list()) return value.list();
  Value::List items;
  if (value.is_dict()) {
    for (const auto& entry : value.dict()) items.emplace_back(entry.first);
    return items;
  }
  for (std::string& character : characters(value.string())) items.emplace_back(std::move(character));
  return items;
}

bool contains(const Value& value, const Value& item) {
  if (value.is_string()) return value.string().find(item.string()) != std::string::npos;
  if (value.is_dict()) return item.is_string() && value.find(item.string()) != nullptr;
  if (value.is_undefined()) return false;
  return std::find(value.list().begin(), value.list().end(), item) != value.list().end();
}

std::int64_t length_of(const Value& value) {
  if (value.is_dict()) return static_cast<std::int64_t>(value.dict().size());
  return static_cast<std::int64_t>(items_of(value).size());
}

} // namespace tessera::chat
