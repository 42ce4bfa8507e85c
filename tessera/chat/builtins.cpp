// Filters and tests.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/chat/program.hpp"
#include "tessera/chat/text.hpp"

namespace tessera::chat {
namespace {

constexpr std::size_t kAnyNumber = 1000;

Value trim(const Value& value, const Arguments& arguments) {
  const Value characters = arguments.get(0, "chars", nullptr);
  return stripped(value.text(), characters.is_none() ? std::string(kBlanks) : characters.string(), true, true);
}
Value length(const Value& value, const Arguments&) {
  return length_of(value);
}
Value to_json(const Value& value, const Arguments& arguments) {
  base::require<base::Unsupported>(!arguments.get(0, "ensure_ascii", false).truth(),
                                   "[chat template] tojson(ensure_ascii=true) is not built yet");
  const Value indent = arguments.get(1, "indent", nullptr);
  return value.json(indent.is_none() ? -1 : static_cast<int>(indent.integer()));
}
Value to_list(const Value& value, const Arguments&) {
  return items_of(value);
}
Value join(const Value& value, const Arguments& arguments) {
  const std::string separator = arguments.get(0, "d", "").text();
  std::string text;
  bool first = true;
  for (const Value& item : items_of(value)) text += (std::exchange(first, false) ? "" : separator) + item.text();
  return text;
}
Value upper(const Value& value, const Arguments&) {
  return in_upper_case(value.text());
}
Value lower(const Value& value, const Arguments&) {
  return in_lower_case(value.text());
}
Value capitalize(const Value& value, const Arguments&) {
  return capitalized(value.text());
}
Value title(const Value& value, const Arguments&) {
  return in_title_case(value.text());
}
Value replace(const Value& value, const Arguments& arguments) {
  return replaced(value.text(), arguments.get(0, "old", "").text(), arguments.get(1, "new", "").text());
}
Value first(const Value& value, const Arguments&) {
  const Value::List items = items_of(value);
  return items.empty() ? Value::undefined("first of nothing") : items.front();
}
Value last(const Value& value, const Arguments&) {
  const Value::List items = items_of(value);
  return items.empty() ? Value::undefined("last of nothing") : items.back();
}
Value reverse(const Value& value, const Arguments&) {
  return slice(value, nullptr, nullptr, std::int64_t{-1});
}
Value fallback(const Value& value, const Arguments& arguments) {
  const bool also_false = arguments.get(1, "boolean", false).truth();
  return value.is_undefined() || (also_false && !value.truth()) ? arguments.get(0, "default_value", "") : value;
}
Value to_text(const Value& value, const Arguments&) {
  return value.text();
}
Value to_integer(const Value& value, const Arguments& arguments) {
  if (value.is_number() || value.is_boolean()) return static_cast<std::int64_t>(value.number());
  const std::string text = stripped(value.text(), kBlanks, true, true);
  const bool digits = !text.empty() && text.size() <= 18 &&
                      std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return digits ? Value(static_cast<std::int64_t>(std::stoll(text))) : arguments.get(0, "default", std::int64_t{0});
}
Value absolute(const Value& value, const Arguments&) {
  if (value.is_float()) return std::fabs(value.number());
  return value.integer() < 0 ? -value.integer() : value.integer();
}
Value pairs(const Value& value, const Arguments&) {
  Value::List list;
  if (value.is_undefined()) return list;
  for (const auto& [key, item] : value.dict()) list.emplace_back(Value::List{key, item});
  return list;
}
Value sorted_pairs(const Value& value, const Arguments& arguments) {
  Value list = pairs(value, arguments);
  std::stable_sort(list.list().begin(), list.list().end(), [](const Value& a, const Value& b) {
    return a.list().front().string() < b.list().front().string();
  });
  return list;
}
Value unique(const Value& value, const Arguments&) {
  Value::List list;
  for (const Value& item : items_of(value)) {
    if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
  }
  return list;
}
Value indent(const Value& value, const Arguments& arguments) {
  const Value width = arguments.get(0, "width", std::int64_t{4});
  const std::string blanks =
      width.is_string()
          ? width.string()
          : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(width.integer(), 0, 1000)), ' ');
  const std::string text = value.text();
  std::string result = arguments.get(1, "first", false).truth() ? blanks : "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] == '\n' && i + 1 < text.size() && text[i + 1] != '\n') result += blanks;
  }
  return result;
}

/// The tail of the arguments, for a test or a filter within a filter.
Arguments behind(const Arguments& arguments, std::size_t count) {
  const auto first =
      arguments.positional.begin() + static_cast<std::ptrdiff_t>(std::min(count, arguments.positional.size()));
  return {{first, arguments.positional.end()}, {}};
}

/// The value that a test within a filter looks at: an attribute of the item, by its dotted name.
Value member(Value item, const std::string& path) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    item = attribute(item, path.substr(begin, end - begin));
    begin = end + 1;
  }
  return item;
}

template <bool kWanted, bool kOfAttribute>
Value select(const Value& value, const Arguments& arguments) {
  constexpr std::size_t kName = kOfAttribute ? 1 : 0;
  Value::List kept;
  for (const Value& item : items_of(value)) {
    const Value looked_at = kOfAttribute ? member(item, arguments.get(0, "", "").string()) : item;
    bool holds = looked_at.truth();
    if (arguments.positional.size() > kName)
      holds = find_test(arguments.positional[kName].string(), 0)(looked_at, behind(arguments, kName + 1));
    if (holds == kWanted) kept.push_back(item);
  }
  return kept;
}

Value map(const Value& value, const Arguments& arguments) {
  const Value of = arguments.get(99, "attribute", nullptr);
  Value::List results;
  for (const Value& item : items_of(value)) {
    if (of.is_none()) {
      results.push_back(find_filter(arguments.get(0, "", "").string(), 0)(item, behind(arguments, 1)));
      continue;
    }
    const Value found = member(item, of.string());
    results.push_back(found.is_undefined() ? arguments.get(99, "default", found) : found);
  }
  return results;
}

/// A filter, and the arguments that it takes: so many without a name, and these names.
struct NamedFilter {
  const char* name;
  Filter filter;
  std::size_t most = 0;
  std::vector<std::string_view> names = {};
};
const std::vector<NamedFilter>& filters() {
  static const std::vector<NamedFilter> all = {
      {"abs", absolute},
      {"capitalize", capitalize},
      {"count", length},
      {"d", fallback, 2, {"default_value", "boolean"}},
      {"default", fallback, 2, {"default_value", "boolean"}},
      {"dictsort", sorted_pairs},
      {"first", first},
      {"indent", indent, 2, {"width", "first"}},
      {"int", to_integer, 1, {"default"}},
      {"items", pairs},
      {"join", join, 1, {"d"}},
      {"last", last},
      {"length", length},
      {"list", to_list},
      {"lower", lower},
      {"map", map, kAnyNumber, {"attribute", "default"}},
      {"reject", select<false, false>, kAnyNumber},
      {"rejectattr", select<false, true>, kAnyNumber},
      {"replace", replace, 2, {"old", "new"}},
      {"reverse", reverse},
      {"safe", to_text},
      {"select", select<true, false>, kAnyNumber},
      {"selectattr", select<true, true>, kAnyNumber},
      {"string", to_text},
      {"title", title},
      {"tojson", to_json, 2, {"ensure_ascii", "indent"}},
      {"trim", trim, 1, {"chars"}},
      {"unique", unique},
      {"upper", upper},
  };
  return all;
}

Value first_argument(const Arguments& arguments) {
  return arguments.get(0, "", nullptr);
}

struct NamedTest {
  const char* name;
  Test test;
};
constexpr NamedTest kTests[] = {
    {"boolean", [](const Value& value, const Arguments&) { return value.is_boolean(); }},
    {"defined", [](const Value& value, const Arguments&) { return !value.is_undefined(); }},
    {"divisibleby",
     [](const Value& value, const Arguments& arguments) {
       const std::int64_t divisor = first_argument(arguments).integer();
       base::require(divisor != 0, "[chat template] divisibleby needs a divisor that is not 0");
       return value.integer() % divisor == 0;
     }},
    {"eq", [](const Value& value, const Arguments& arguments) { return value == first_argument(arguments); }},
    {"equalto", [](const Value& value, const Arguments& arguments) { return value == first_argument(arguments); }},
    {"even", [](const Value& value, const Arguments&) { return value.integer() % 2 == 0; }},
    {"false", [](const Value& value, const Arguments&) { return value.is_boolean() && !value.truth(); }},
    {"float", [](const Value& value, const Arguments&) { return value.is_float(); }},
    {"in", [](const Value& value, const Arguments& arguments) { return contains(first_argument(arguments), value); }},
    {"integer", [](const Value& value, const Arguments&) { return value.is_integer(); }},
    {"iterable",
     [](const Value& value, const Arguments&) { return value.is_list() || value.is_dict() || value.is_string(); }},
    {"mapping", [](const Value& value, const Arguments&) { return value.is_dict(); }},
    {"ne", [](const Value& value, const Arguments& arguments) { return !(value == first_argument(arguments)); }},
    {"none", [](const Value& value, const Arguments&) { return value.is_none(); }},
    {"number", [](const Value& value, const Arguments&) { return value.is_number() || value.is_boolean(); }},
    {"odd", [](const Value& value, const Arguments&) { return value.integer() % 2 != 0; }},
    {"sequence",
     [](const Value& value, const Arguments&) { return value.is_list() || value.is_dict() || value.is_string(); }},
    {"string", [](const Value& value, const Arguments&) { return value.is_string(); }},
    {"true", [](const Value& value, const Arguments&) { return value.is_boolean() && value.truth(); }},
    {"undefined", [](const Value& value, const Arguments&) { return value.is_undefined(); }},
};

std::string place(int line) {
  return line > 0 ? fmt::format("line {}: ", line) : "";
}

} // namespace

Filter find_filter(const std::string& name, int line) {
  for (const NamedFilter& known : filters()) {
    if (name == known.name) return known.filter;
  }
  throw base::Unsupported(fmt::format("[chat template] {}the filter {} is not built yet", place(line), name));
}

void require_arguments(const std::string& filter, int line, std::size_t positional,
                       std::span<const std::string> named) {
  const auto known = std::ranges::find(filters(), filter, &NamedFilter::name);
  base::require<base::Unsupported>(positional <= known->most,
                                   "[chat template] {}the filter {} takes at most {} arguments here; received {}",
                                   place(line), filter, known->most, positional);
  for (const std::string& name : named) {
    base::require<base::Unsupported>(std::ranges::find(known->names, name) != known->names.end(),
                                     "[chat template] {}the argument {} of the filter {} is not built yet", place(line),
                                     name, filter);
  }
}

Test find_test(const std::string& name, int line) {
  for (const auto& [known, test] : kTests) {
    if (name == known) return test;
  }
  throw base::Unsupported(fmt::format("[chat template] {}the test {} is not built yet", place(line), name));
}

} // namespace tessera::chat
