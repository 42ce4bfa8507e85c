#include "tessera/spec/op_attributes.hpp"

#include <charconv>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

/// Two numbers, `between` them and nothing else.
bool read_pair(std::string_view text, std::string_view between, std::vector<std::int64_t>& pair) {
  const char* const end = text.data() + text.size();
  const auto [middle, error] = std::from_chars(text.data(), end, pair[0]);
  const std::string_view rest(middle, static_cast<std::size_t>(end - middle));
  if (error != std::errc() || !rest.starts_with(between)) return false;
  const auto [last, second] = std::from_chars(middle + between.size(), end, pair[1]);
  return second == std::errc() && last == end;
}

} // namespace

const AttributeValue* OpAttributes::find(std::string_view name) const {
  for (const auto& [key, value] : record_.attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

template <typename T>
const T& OpAttributes::get(std::string_view name) const {
  const AttributeValue* const value = find(name);
  base::require(value != nullptr && std::holds_alternative<T>(*value),
                "[record] {} must have the attribute {}; received {}", record_.name, name,
                value == nullptr ? "none" : "one of another type");
  return std::get<T>(*value);
}

std::int64_t OpAttributes::integer(std::string_view name) const {
  return get<std::int64_t>(name);
}
double OpAttributes::number(std::string_view name) const {
  return get<double>(name);
}
bool OpAttributes::flag(std::string_view name) const {
  return get<bool>(name);
}
const std::string& OpAttributes::text(std::string_view name) const {
  return get<std::string>(name);
}

std::vector<std::int64_t> OpAttributes::extent(std::string_view name) const {
  std::vector<std::int64_t> pair(2);
  base::require(read_pair(text(name), "x", pair), "[record] {} of {} must be height x width; received {}", name,
                record_.name, text(name));
  return pair;
}

std::vector<std::int64_t> OpAttributes::coordinate(std::string_view name) const {
  std::vector<std::int64_t> pair(2);
  std::string_view value = text(name);
  const bool bracketed = value.size() > 2 && value.front() == '[' && value.back() == ']';
  if (bracketed) value = value.substr(1, value.size() - 2);
  base::require(bracketed && read_pair(value, ", ", pair), "[record] {} of {} must be [row, column]; received {}", name,
                record_.name, text(name));
  return pair;
}

} // namespace tessera
