#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "tessera/chat/value.hpp"

// What a template is compiled to: functions that run in a scope. Private to this folder.

namespace tessera::chat {

/// Names and what they stand for, inside other scopes.
struct Scope {
  Scope* outer = nullptr;
  std::map<std::string, Value> names;

  Value find(const std::string& name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
    }
    return Value::undefined(name);
  }
};

using Expression = std::function<Value(Scope&)>;

/// How a statement ended: loops act on the last two.
enum class Flow { ON, BREAK, CONTINUE };
/// Appends what it prints.
using Statement = std::function<Flow(Scope&, std::string& out)>;

/// A filter, as `value | name(arguments)`, and a test, as `value is name(arguments)`. Throw Unsupported, naming it, for
/// one that is not built.
using Filter = Value (*)(const Value& value, const Arguments& arguments);
using Test = bool (*)(const Value& value, const Arguments& arguments);
Filter find_filter(const std::string& name, int line);
Test find_test(const std::string& name, int line);
/// Throws Unsupported for arguments that a filter takes in Jinja but not here.
void require_arguments(const std::string& filter, int line, std::size_t positional, std::span<const std::string> named);

/// value.name: a method of strings, lists and dicts, or a dict's entry; value[key]: an entry, else as value.name.
Value attribute(const Value& value, const std::string& name);
Value subscript(const Value& value, const Value& key);
/// value[first:last:step]; undefined or None where left out.
Value slice(const Value& value, const Value& first, const Value& last, const Value& step);
/// The items that a loop goes through: of a list, the keys of a dict, the characters of a string.
Value::List items_of(const Value& value);
/// Whether `item` is in a list, a dict's keys or a string.
bool contains(const Value& value, const Value& item);
/// Whether a string holds another, and how many characters, not bytes, it has.
std::int64_t length_of(const Value& value);

} // namespace tessera::chat
