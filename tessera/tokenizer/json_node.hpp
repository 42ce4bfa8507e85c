#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::tokenizer {

/// A value inside a JSON document together with its path, so that every complaint can name the place.
/// Refers to the document: it must outlive the node.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return value_->is_null(); }

  /// The member `key`; a null node when it is absent. Throws InvalidArgument when this is not an object.
  JsonNode operator[](std::string_view key) const;
  /// The elements of an array. Throws InvalidArgument for anything else.
  std::vector<JsonNode> items() const;

  /// The value as the named type. Each throws InvalidArgument, naming the path, when it is of another type.
  const std::string& string() const;
  bool boolean() const;
  bool boolean_or(bool value_when_absent) const { return is_null() ? value_when_absent : boolean(); }
  /// A whole number of at least 0 that fits a token id.
  std::int32_t id() const;
  /// A string of exactly one character.
  char32_t character() const;

  /// Throws InvalidArgument: `{path} must be {required}; received {this value}`.
  [[noreturn]] void fail(std::string_view required) const;

 private:
  const nlohmann::json* value_;
  std::string path_;
};

/// Parses a JSON text. Throws IoError, naming `name` and the byte, for text that is not JSON and for nesting deeper
/// than `kMaxJsonDepth`, which is refused before anything is built.
nlohmann::json parse_json(std::string_view text, std::string_view name);
inline constexpr std::size_t kMaxJsonDepth = 200;

/// `text` in quotes on one line, escaped and cut to a readable length, for messages.
std::string quote(std::string_view text);

/// `value` as a token id: a whole number in 0 .. 2^31-2. Throws InvalidArgument; `path` is the place, `key` what the id
/// belongs to.
std::int32_t token_id(const nlohmann::json& value, std::string_view path, std::string_view key);

} // namespace tessera::tokenizer
