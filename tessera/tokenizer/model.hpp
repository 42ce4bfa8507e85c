#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/vocabulary.hpp"

namespace tessera::tokenizer {

/// Turns one piece of text into ids. Immutable.
class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of `piece`, which is valid UTF-8.
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& out) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

/// Reads the `vocab` object of a model: tokens and their ids, one to one. Throws InvalidArgument for another form.
Vocabulary read_vocabulary(const JsonNode& node);

/// Builds the `model` of a tokenizer.json: BPE, also of files that name no type, or WordPiece. Throws Unsupported for
/// others, InvalidArgument for a broken model.
std::unique_ptr<Model> make_model(const JsonNode& node);

} // namespace tessera::tokenizer
