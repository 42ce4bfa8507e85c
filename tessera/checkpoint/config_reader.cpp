#include "tessera/checkpoint/config_reader.hpp"

#include <cmath>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {

using nlohmann::json;

ConfigReader::ConfigReader(const json& config, std::string where)
    : config_(&config), where_(std::move(where)), known_(std::make_shared<std::set<std::string>>()) {
  base::require(config.is_object(), "[config] {} must hold a JSON object; received {}; correct the file", where_,
                printable_json(config));
}

const json* ConfigReader::find(const std::string& key) const {
  known_->insert(key);
  const auto found = config_->find(key);
  return found == config_->end() || found->is_null() ? nullptr : &*found;
}

bool ConfigReader::is_null(const std::string& key) const {
  known_->insert(key);
  const auto found = config_->find(key);
  return found != config_->end() && found->is_null();
}

void ConfigReader::reject(const std::string& key, const std::string& requirement) const {
  const json* value = find(key);
  throw base::InvalidArgument(fmt::format("[config] {}{} must be {}; received {}; {} {}", prefix_, key, requirement,
                                          value == nullptr ? "none" : printable_json(*value),
                                          value == nullptr ? "add it to" : "correct it in", where_));
}

const json& ConfigReader::required(const std::string& key, const std::string& requirement) const {
  const json* value = find(key);
  if (value == nullptr) reject(key, requirement);
  return *value;
}

namespace {

std::string describe(IntegerRange range) {
  return fmt::format("an integer in {}..{}", range.min, range.max);
}

std::string describe(NumberRange range) {
  if (range.max == std::numeric_limits<double>::max()) return fmt::format("a number of at least {}", range.min);
  return fmt::format("a number in {}..{}", range.min, range.max);
}

} // namespace

std::int64_t ConfigReader::checked_integer(const std::string& key, const json& value, IntegerRange range) const {
  // An unsigned value above the signed range would wrap in get<int64_t>().
  const bool wraps = value.is_number_unsigned() &&
                     value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || wraps) reject(key, describe(range));
  const auto number = value.get<std::int64_t>();
  if (number < range.min || number > range.max) reject(key, describe(range));
  return number;
}

double ConfigReader::checked_number(const std::string& key, const json& value, NumberRange range) const {
  if (!value.is_number()) reject(key, describe(range));
  const auto number = value.get<double>();
  if (!std::isfinite(number) || number < range.min || number > range.max) reject(key, describe(range));
  return number;
}

std::int64_t ConfigReader::integer(const std::string& key, IntegerRange range) const {
  return checked_integer(key, required(key, describe(range)), range);
}

std::optional<std::int64_t> ConfigReader::optional_integer(const std::string& key, IntegerRange range) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return checked_integer(key, *value, range);
}

std::int64_t ConfigReader::integer_or(const std::string& key, std::int64_t fallback, IntegerRange range) const {
  return optional_integer(key, range).value_or(fallback);
}

double ConfigReader::number(const std::string& key, NumberRange range) const {
  return checked_number(key, required(key, describe(range)), range);
}

std::optional<double> ConfigReader::optional_number(const std::string& key, NumberRange range) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return checked_number(key, *value, range);
}

double ConfigReader::number_or(const std::string& key, double fallback, NumberRange range) const {
  return optional_number(key, range).value_or(fallback);
}

std::optional<bool> ConfigReader::optional_boolean(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) reject(key, "true or false");
  return value->get<bool>();
}

bool ConfigReader::boolean(const std::string& key) const {
  required(key, "true or false");
  return *optional_boolean(key);
}

bool ConfigReader::boolean_or(const std::string& key, bool fallback) const {
  return optional_boolean(key).value_or(fallback);
}

std::optional<std::string> ConfigReader::optional_string(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) reject(key, "a string");
  return value->get<std::string>();
}

std::string ConfigReader::string(const std::string& key) const {
  required(key, "a string");
  return *optional_string(key);
}

std::string ConfigReader::string_or(const std::string& key, const std::string& fallback) const {
  return optional_string(key).value_or(fallback);
}

std::vector<std::int64_t> ConfigReader::integers(const std::string& key, IntegerRange range) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {checked_integer(key, *value, range)};
  std::vector<std::int64_t> values;
  for (const json& element : *value) values.push_back(checked_integer(key, element, range));
  return values;
}

std::vector<double> ConfigReader::numbers(const std::string& key, NumberRange range) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {checked_number(key, *value, range)};
  std::vector<double> values;
  for (const json& element : *value) values.push_back(checked_number(key, element, range));
  return values;
}

std::vector<std::string> ConfigReader::strings(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) reject(key, "an array of strings");
  std::vector<std::string> values;
  for (const json& element : *value) {
    if (!element.is_string()) reject(key, "an array of strings");
    values.push_back(element.get<std::string>());
  }
  return values;
}

std::optional<ConfigReader> ConfigReader::object(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) reject(key, "an object");
  ConfigReader nested(*value, where_);
  nested.prefix_ = prefix_ + key + ".";
  return nested;
}

std::vector<std::string> ConfigReader::unknown_keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : config_->items()) {
    if (!known_->contains(key)) keys.push_back(key);
  }
  return keys;
}

} // namespace tessera::checkpoint
