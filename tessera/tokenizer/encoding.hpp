#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tessera::tokenizer {

/// What a model that tells texts apart is given: token ids, and for each the number of its text (0, 1), as the
/// tokenizer's template has it.
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;

  static Encoding of(std::vector<std::int32_t> ids, std::int32_t type_id) {
    const std::size_t count = ids.size();
    return {std::move(ids), std::vector<std::int32_t>(count, type_id)};
  }
  void append(const Encoding& other) {
    ids.insert(ids.end(), other.ids.begin(), other.ids.end());
    type_ids.insert(type_ids.end(), other.type_ids.begin(), other.type_ids.end());
  }
};

/// All of them, one behind the other.
inline Encoding join(const std::vector<Encoding>& parts) {
  Encoding whole;
  for (const Encoding& part : parts) whole.append(part);
  return whole;
}

} // namespace tessera::tokenizer
