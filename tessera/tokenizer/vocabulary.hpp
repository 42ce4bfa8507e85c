#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tessera::tokenizer {

/// Lets hash maps keyed by std::string be searched with a string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

/// Tokens and their ids, one to one. Hash maps both ways: ids may have gaps and be as large as they like.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default; // moving keeps the nodes; a copy's tokens_ would point into the original
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  /// Makes room for `count` tokens.
  void reserve(std::size_t count) {
    ids_.reserve(count);
    tokens_.reserve(count);
  }
  /// Throws InvalidArgument when the token or the id is taken.
  void add(std::string token, std::int32_t id);

  std::optional<std::int32_t> id(std::string_view token) const;
  /// The token of `id`, or nullptr.
  const std::string* token(std::int32_t id) const;
  std::size_t size() const { return ids_.size(); }
  /// Calls `visit(token, id)` for each token, in no particular order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [token, id] : ids_) visit(token, id);
  }
  /// Largest id, -1 when empty.
  std::int32_t max_id() const { return max_id_; }

 private:
  std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> ids_;
  std::unordered_map<std::int32_t, const std::string*> tokens_; // keys of ids_, whose nodes do not move
  std::int32_t max_id_ = -1;
};

} // namespace tessera::tokenizer
