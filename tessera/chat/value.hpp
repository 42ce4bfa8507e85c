#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::chat {

struct Arguments;

/// A value of a template: what Python would hold. Lists and dicts are shared by their copies, as in Python. Keys of
/// dicts are strings, in the order of insertion.
class Value {
 public:
  struct Undefined {
    std::string name; ///< what was looked up
  };
  using List = std::vector<Value>;
  using Dict = std::vector<std::pair<std::string, Value>>;
  using Function = std::function<Value(const Arguments&)>;

  Value() : content_(Undefined{}) {}
  Value(std::nullptr_t) : content_(nullptr) {}
  Value(bool value) : content_(value) {}
  Value(std::int64_t value) : content_(value) {}
  Value(double value) : content_(value) {}
  Value(std::string value) : content_(std::move(value)) {}
  Value(const char* value) : content_(std::string(value)) {}
  Value(List value) : content_(std::make_shared<List>(std::move(value))) {}
  Value(Dict value) : content_(std::make_shared<Dict>(std::move(value))) {}
  Value(Function value) : content_(std::make_shared<Function>(std::move(value))) {}
  static Value undefined(std::string name);
  static Value from_json(const nlohmann::ordered_json& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(content_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(content_); }
  bool is_boolean() const { return std::holds_alternative<bool>(content_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(content_); }
  bool is_float() const { return std::holds_alternative<double>(content_); }
  bool is_number() const { return is_integer() || is_float(); }
  bool is_string() const { return std::holds_alternative<std::string>(content_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<List>>(content_); }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<Dict>>(content_); }
  bool is_function() const { return std::holds_alternative<std::shared_ptr<Function>>(content_); }

  /// The content as that kind. Throw InvalidArgument for another kind, naming it.
  std::int64_t integer() const; ///< booleans count as 0 and 1
  double number() const;
  const std::string& string() const;
  List& list() const;
  Dict& dict() const;
  const Function& function() const;
  /// What was looked up in vain; empty for other values.
  std::string undefined_name() const { return is_undefined() ? std::get<Undefined>(content_).name : std::string(); }

  /// The entry of a dict, or null.
  const Value* find(const std::string& key) const;
  void set(const std::string& key, Value value) const;

  /// Python's truth value.
  bool truth() const;
  /// What printing shows: Python's str().
  std::string text() const;
  /// json.dumps with ensure_ascii=False; `indent` below 0: on one line.
  std::string json(int indent = -1) const;
  const char* kind() const; ///< "a string", for messages

  friend bool operator==(const Value& a, const Value& b);

 private:
  std::string repr() const;
  void write_json(std::string& out, int indent, int depth) const;

  std::variant<Undefined, std::nullptr_t, bool, std::int64_t, double, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Function>>
      content_;
};

/// Order of two numbers or two strings: below 0, 0 or above. Throws InvalidArgument for others.
int compare(const Value& a, const Value& b);

/// What a function, filter or test is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// Argument number `index`, or the one named so, or the fallback.
  Value get(std::size_t index, const std::string& name, Value fallback) const;
};

} // namespace tessera::chat
