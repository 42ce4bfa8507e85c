#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/reference.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::cli {

/// What the user gave a bring-up to run on.
struct MaterialRequest {
  std::vector<std::string> prompts; ///< empty: the beginnings of the text
  std::string text_file;            ///< empty: heldout.txt of the checkpoint's folder, else a paragraph of our own
  std::int64_t sequence_length = 0; ///< longest sequence of ids
  std::int64_t max_ids = 0;         ///< of all sequences of the text together
  std::int64_t vocab_size = 0;
};

struct MaterialChoice {
  bringup::Material material;
  std::string text_source; ///< for the report
  std::string prompt_source;
};

/// The checkpoint's tokenizer, where it has one.
std::optional<tokenizer::Tokenizer> find_tokenizer(const checkpoint::Checkpoint& checkpoint);

/// Texts and prompts as ids. Without a tokenizer they are random ids, the same in every run, and prompts and texts of
/// the user's are refused. Throws InvalidArgument for empty texts and prompts and ids outside the vocabulary, IoError.
MaterialChoice choose_material(const checkpoint::Checkpoint& checkpoint,
                               const std::optional<tokenizer::Tokenizer>& tokenizer, const MaterialRequest& request);

} // namespace tessera::cli
