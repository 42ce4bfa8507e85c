#pragma once

#include <memory>
#include <string>

#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// Rewrites a text before it is cut into pieces. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// `text` is valid UTF-8 before and after.
  virtual void apply(std::string& text) const = 0;
};

/// Builds the normalizer of a tokenizer.json; nullptr for a null node. Known: Sequence, Prepend, Replace, NFC, NFD,
/// NFKC, NFKD, Lowercase, Strip, BertNormalizer. Throws Unsupported for others, InvalidArgument for wrong fields.
std::unique_ptr<Normalizer> make_normalizer(const JsonNode& node);

} // namespace tessera::tokenizer
