#include "tessera/chat/value.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"

namespace tessera::chat {
namespace {

template <typename T>
const T& content_of(const T* content, const char* wanted, const Value& value) {
  base::require(content != nullptr, "[chat template] {} is required; received {} {}", wanted, value.kind(),
                value.undefined_name());
  return *content;
}

/// Python's repr of a float: the shortest digits that mean it, with a point.
std::string float_text(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

/// A JSON string, characters beyond ASCII as they are.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

Value Value::undefined(std::string name) {
  Value value;
  value.content_ = Undefined{std::move(name)};
  return value;
}

Value Value::from_json(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return json.get<bool>();
    case nlohmann::ordered_json::value_t::number_integer:
    case nlohmann::ordered_json::value_t::number_unsigned:
      return json.get<std::int64_t>();
    case nlohmann::ordered_json::value_t::number_float:
      return json.get<double>();
    case nlohmann::ordered_json::value_t::string:
      return json.get<std::string>();
    case nlohmann::ordered_json::value_t::array: {
      List list;
      for (const auto& item : json) list.push_back(from_json(item));
      return list;
    }
    case nlohmann::ordered_json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) dict.emplace_back(key, from_json(item));
      return dict;
    }
    default:
      return nullptr;
  }
}

std::int64_t Value::integer() const {
  if (is_boolean()) return std::get<bool>(content_) ? 1 : 0;
  return content_of(std::get_if<std::int64_t>(&content_), "an integer", *this);
}
double Value::number() const {
  return is_float() ? std::get<double>(content_) : static_cast<double>(integer());
}
const std::string& Value::string() const {
  return content_of(std::get_if<std::string>(&content_), "a string", *this);
}
Value::List& Value::list() const {
  return *content_of(std::get_if<std::shared_ptr<List>>(&content_), "a list", *this);
}
Value::Dict& Value::dict() const {
  return *content_of(std::get_if<std::shared_ptr<Dict>>(&content_), "a dict", *this);
}
const Value::Function& Value::function() const {
  return *content_of(std::get_if<std::shared_ptr<Function>>(&content_), "a function", *this);
}

const Value* Value::find(const std::string& key) const {
  for (const auto& [name, value] : dict()) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Value::set(const std::string& key, Value value) const {
  for (auto& [name, old] : dict()) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  dict().emplace_back(key, std::move(value));
}

bool Value::truth() const {
  if (is_boolean() || is_integer()) return integer() != 0;
  if (is_float()) return number() != 0.0;
  if (is_string()) return !string().empty();
  if (is_list()) return !list().empty();
  if (is_dict()) return !dict().empty();
  return is_function();
}

std::string Value::text() const {
  if (is_undefined()) return "";
  return is_string() ? string() : repr();
}

std::string Value::repr() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (is_boolean()) return integer() != 0 ? "True" : "False";
  if (is_integer()) return std::to_string(integer());
  if (is_float()) return float_text(number());
  if (is_string()) {
    const char quote = string().find('\'') != std::string::npos && string().find('"') == std::string::npos ? '"' : '\'';
    std::string result(1, quote);
    for (const char c : string()) {
      if (c == quote || c == '\\') result += '\\';
      result += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
    }
    return result + quote;
  }
  std::string result = is_list() ? "[" : "{";
  if (is_list()) {
    for (const Value& item : list()) result += (result.size() > 1 ? ", " : "") + item.repr();
    return result + "]";
  }
  base::require(is_dict(), "[chat template] {} cannot be printed", kind());
  for (const auto& [key, item] : dict())
    result += (result.size() > 1 ? ", " : "") + Value(key).repr() + ": " + item.repr();
  return result + "}";
}

void Value::write_json(std::string& out, int indent, int depth) const {
  const auto line = [&](int level) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<std::size_t>(indent * level), ' ');
  };
  const auto separate = [&](bool first) {
    if (!first) out += indent < 0 ? ", " : ",";
    line(depth + 1);
  };
  if (is_none()) {
    out += "null";
  } else if (is_boolean()) {
    out += integer() != 0 ? "true" : "false";
  } else if (is_string()) {
    out += quoted(string());
  } else if (is_list()) {
    out += '[';
    bool first = true;
    for (const Value& item : list()) {
      separate(std::exchange(first, false));
      item.write_json(out, indent, depth + 1);
    }
    if (!first) line(depth);
    out += ']';
  } else if (is_dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : dict()) {
      separate(std::exchange(first, false));
      out += quoted(key) + ": ";
      item.write_json(out, indent, depth + 1);
    }
    if (!first) line(depth);
    out += '}';
  } else {
    base::require(is_number(), "[chat template] {} has no JSON form", kind());
    out += repr();
  }
}

std::string Value::json(int indent) const {
  std::string out;
  write_json(out, indent, 0);
  return out;
}

const char* Value::kind() const {
  constexpr const char* kNames[] = {"an undefined value", "None",   "a boolean", "an integer", "a float",
                                    "a string",           "a list", "a dict",    "a function"};
  return kNames[content_.index()];
}

bool operator==(const Value& a, const Value& b) {
  const auto counts = [](const Value& value) { return value.is_number() || value.is_boolean(); };
  if (counts(a) && counts(b)) return a.number() == b.number();
  if (a.content_.index() != b.content_.index()) return false;
  if (a.is_string()) return a.string() == b.string();
  if (a.is_list()) return a.list() == b.list();
  if (a.is_dict()) return a.dict() == b.dict();
  return a.is_none() || a.is_undefined();
}

int compare(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return a.string().compare(b.string());
  const double difference = a.number() - b.number();
  return difference < 0 ? -1 : difference > 0 ? 1 : 0;
}

Value Arguments::get(std::size_t index, const std::string& name, Value fallback) const {
  if (index < positional.size()) return positional[index];
  for (const auto& [key, value] : named) {
    if (key == name) return value;
  }
  return fallback;
}

} // namespace tessera::chat
