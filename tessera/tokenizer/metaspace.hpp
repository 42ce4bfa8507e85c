#pragma once

#include <string>

#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// The fields that the Metaspace pre-tokenizer and decoder share.
struct Metaspace {
  enum class Prepend { ALWAYS, FIRST, NEVER }; // before every piece, before the text's beginning only, nowhere

  /// Reads the new spelling (`prepend_scheme`, `split`) and the old (`add_prefix_space`, which means ALWAYS or NEVER).
  /// Throws InvalidArgument where both are given and contradict each other.
  explicit Metaspace(const JsonNode& node);

  std::string replacement; // stands for a space, one character
  Prepend prepend = Prepend::ALWAYS;
  bool split = true;
};

} // namespace tessera::tokenizer
