#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace tessera::tokenizer {

/// The tokenizer.json that stands for an old BERT's files: `vocab.txt`, a token a line, its id the number of the line,
/// and what `tokenizer_config.json`, if there is one, says of do_lower_case, strip_accents, tokenize_chinese_chars and
/// the special tokens (transformers' BertTokenizerFast, which builds the same). Throws IoError for files that cannot be
/// read, InvalidArgument for a token that is missing or wrong fields, Unsupported for other tokenizers with a vocab.txt
/// and for added_tokens.json.
nlohmann::json wordpiece_document(const std::filesystem::path& folder);

} // namespace tessera::tokenizer
