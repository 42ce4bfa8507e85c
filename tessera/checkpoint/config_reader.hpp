#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tessera::checkpoint {

/// Allowed integers, both ends included.
struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int32_t>::max();
};

/// Allowed numbers, both ends included.
struct NumberRange {
  double min = 0.0;
  double max = std::numeric_limits<double>::max();
};

/// Typed access to a `config.json`. Null counts as absent. A wrong type or a value out of range throws InvalidArgument:
/// `[config] num_attention_heads must be an integer in 1..65536; received "x"; correct it in model/config.json`.
///
/// For each type: `x(key, ...)` requires the key, `x_or(key, fallback, ...)` has a default, `optional_x(key, ...)`
/// gives nothing when the key is absent. Asking marks a key as known; `unknown_keys()` tells what nobody asked for.
class ConfigReader {
 public:
  /// `where` names the file in error texts. Holds a reference: `config` must outlive the reader.
  explicit ConfigReader(const nlohmann::json& config, std::string where = "config.json");

  /// True when the key is there and not null. Marks it as known.
  bool has(const std::string& key) const { return find(key) != nullptr; }
  /// True when the key is there and null, for keys where that means something else than absence. Marks it as known.
  bool is_null(const std::string& key) const;

  std::int64_t integer(const std::string& key, IntegerRange range) const;
  std::int64_t integer_or(const std::string& key, std::int64_t fallback, IntegerRange range) const;
  std::optional<std::int64_t> optional_integer(const std::string& key, IntegerRange range) const;

  /// A finite number; integers are accepted.
  double number(const std::string& key, NumberRange range) const;
  double number_or(const std::string& key, double fallback, NumberRange range) const;
  std::optional<double> optional_number(const std::string& key, NumberRange range) const;

  bool boolean(const std::string& key) const;
  bool boolean_or(const std::string& key, bool fallback) const;
  std::optional<bool> optional_boolean(const std::string& key) const;

  std::string string(const std::string& key) const;
  std::string string_or(const std::string& key, const std::string& fallback) const;
  std::optional<std::string> optional_string(const std::string& key) const;

  /// An array of integers, or one integer, which counts as an array of one (`eos_token_id` comes in both forms). Empty
  /// when absent.
  std::vector<std::int64_t> integers(const std::string& key, IntegerRange range) const;
  std::vector<double> numbers(const std::string& key, NumberRange range) const;
  /// An array of strings (`architectures`, `layer_types`). Empty when absent.
  std::vector<std::string> strings(const std::string& key) const;

  /// A reader for a nested object (`rope_scaling`); its error texts say `rope_scaling.factor`.
  std::optional<ConfigReader> object(const std::string& key) const;

  /// Keys that no call has asked for, in alphabetical order; nested objects are not searched.
  std::vector<std::string> unknown_keys() const;

  /// Throws InvalidArgument in this reader's form, for a value that breaks a rule the types cannot state:
  /// `[config] <key> must be <requirement>; received <the key's value>; correct it in <where>`.
  [[noreturn]] void reject(const std::string& key, const std::string& requirement) const;

 private:
  const nlohmann::json* find(const std::string& key) const;
  const nlohmann::json& required(const std::string& key, const std::string& requirement) const;
  std::int64_t checked_integer(const std::string& key, const nlohmann::json& value, IntegerRange range) const;
  double checked_number(const std::string& key, const nlohmann::json& value, NumberRange range) const;

  const nlohmann::json* config_;
  std::string where_;
  std::string prefix_; ///< "rope_scaling." within an object
  std::shared_ptr<std::set<std::string>> known_;
};

/// The config in the older of its two spellings, so that one mapping reads both. transformers 5 writes `dtype` for
/// `torch_dtype`, and `rope_parameters` for `rope_theta`, `partial_rotary_factor` and `rope_scaling`; `rope_scaling`'s
/// own old key `type` becomes `rope_type`, and a scaling of type "default" without parameters is left out. Everything
/// else stays. Idempotent. Throws InvalidArgument when `config` is no object or both spellings are there and differ,
/// Unsupported for rope parameters per layer type.
nlohmann::json normalized_config(const nlohmann::json& config, const std::string& where = "config.json");

} // namespace tessera::checkpoint
