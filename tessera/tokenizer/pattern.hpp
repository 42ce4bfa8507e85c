#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/regex.hpp"

namespace tessera::tokenizer {

/// What a file writes as {"String": "..."} or {"Regex": "..."}: literal text or a regular expression.
class Pattern {
 public:
  explicit Pattern(const JsonNode& node);

  /// All matches from left to right, not overlapping.
  std::vector<Range> find_all(std::string_view text) const;
  /// `text` with each match replaced by `content`.
  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  std::string literal_; // used when there is no regex_
  std::optional<Regex> regex_;
};

} // namespace tessera::tokenizer
