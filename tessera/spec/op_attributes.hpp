#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/spec/op_record.hpp"

namespace tessera {

/// Reads a record's attributes by name. What is not there, or of another type, throws InvalidArgument that names op and
/// attribute.
class OpAttributes {
 public:
  explicit OpAttributes(const OpRecord& record) : record_(record) {}

  const OpRecord& record() const { return record_; }
  bool has_attribute(std::string_view name) const { return find(name) != nullptr; }
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  bool flag(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  double number_or(std::string_view name, double otherwise) const {
    return has_attribute(name) ? number(name) : otherwise;
  }
  /// "3x5": height and width.
  std::vector<std::int64_t> extent(std::string_view name) const;
  /// "[1, 2]": a chip's row and column.
  std::vector<std::int64_t> coordinate(std::string_view name) const;

 private:
  const AttributeValue* find(std::string_view name) const;
  template <typename T>
  const T& get(std::string_view name) const;

  const OpRecord& record_;
};

} // namespace tessera
