#include "tessera/tokenizer/model.hpp"

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/bpe_model.hpp"
#include "tessera/tokenizer/wordpiece_model.hpp"

namespace tessera::tokenizer {

Vocabulary read_vocabulary(const JsonNode& node) {
  if (!node.value().is_object()) node.fail("an object of tokens and ids");
  Vocabulary vocabulary;
  vocabulary.reserve(node.value().size());
  for (const auto& [token, id] : node.value().items()) vocabulary.add(token, token_id(id, node.path(), token));
  return vocabulary;
}

std::unique_ptr<Model> make_model(const JsonNode& node) {
  const JsonNode type = node["type"];
  // Files from before tokenizers 0.10 name no type; merges tell that it is BPE, a limit on words that it is WordPiece.
  const bool unnamed = type.is_null();
  if (unnamed ? !node["merges"].is_null() : type.string() == "BPE") return std::make_unique<BpeModel>(node);
  if (unnamed ? !node["max_input_chars_per_word"].is_null() : type.string() == "WordPiece")
    return std::make_unique<WordPieceModel>(node);
  throw base::Unsupported(fmt::format(
      "[tokenizer] {} must be one of the known model types, BPE, WordPiece; received {}; use a byte-pair or "
      "WordPiece tokenizer",
      type.path(), quote(type.string())));
}

} // namespace tessera::tokenizer
