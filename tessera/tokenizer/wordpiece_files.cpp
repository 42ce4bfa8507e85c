#include "tessera/tokenizer/wordpiece_files.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20; // of 120 thousand tokens: 1 MB

json read_vocabulary_lines(const std::filesystem::path& file) {
  const std::string text = base::read_file(file, kMaxFileBytes);
  const std::size_t invalid = find_invalid_utf8(text);
  base::require<base::IoError>(invalid == std::string_view::npos,
                               "[tokenizer] {} must be UTF-8; received byte {} that is not", file.string(), invalid);
  json vocabulary = json::object();
  std::size_t id = 0;
  for (std::size_t begin = 0; begin < text.size(); ++id) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view token = std::string_view(text).substr(begin, end - begin);
    if (token.ends_with('\r')) token.remove_suffix(1);
    vocabulary[std::string(token)] = id; // of equal lines the last one counts, as in Hugging Face
    begin = end + 1;
  }
  return vocabulary;
}

/// A special token of the configuration: a string, or an object with its content.
std::string special_token(const JsonNode& config, std::string_view key, std::string_view otherwise) {
  const JsonNode node = config[key];
  if (node.is_null()) return std::string(otherwise);
  return node.value().is_object() ? node["content"].string() : node.string();
}

void check_class(const JsonNode& config) {
  constexpr std::array kSame = {"BertTokenizer", "BertTokenizerFast"};
  const JsonNode name = config["tokenizer_class"];
  if (name.is_null()) return;
  base::require<base::Unsupported>(
      std::find(kSame.begin(), kSame.end(), name.string()) != kSame.end(),
      "[tokenizer] {} must be BertTokenizer where there is a vocab.txt and no tokenizer.json; received {}; write "
      "tokenizer.json with transformers",
      name.path(), quote(name.string()));
}

} // namespace

json wordpiece_document(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "tokenizer_config.json";
  const json settings = std::filesystem::exists(config_path)
                            ? parse_json(base::read_file(config_path, kMaxFileBytes), config_path.string())
                            : json::object();
  const JsonNode config(settings, config_path.string() + ": ");
  check_class(config);
  base::require<base::Unsupported>(!std::filesystem::exists(folder / "added_tokens.json"),
                                   "[tokenizer] added_tokens.json beside a vocab.txt is not built; received {}; write "
                                   "tokenizer.json with transformers",
                                   folder.string());

  const json vocabulary = read_vocabulary_lines(folder / "vocab.txt");
  const auto id_of = [&](const std::string& token) -> const json& {
    const auto found = vocabulary.find(token);
    base::require(found != vocabulary.end(), "[tokenizer] {} must hold the special token {}; it does not",
                  (folder / "vocab.txt").string(), quote(token));
    return *found;
  };
  const std::string unknown = special_token(config, "unk_token", "[UNK]");
  const std::string separator = special_token(config, "sep_token", "[SEP]");
  const std::string classifier = special_token(config, "cls_token", "[CLS]");
  json added = json::array();
  for (const std::string& token : {special_token(config, "pad_token", "[PAD]"), unknown, classifier, separator,
                                   special_token(config, "mask_token", "[MASK]")}) {
    // Checkpoints of other shapes leave some of them out; what is there is found in texts.
    if (vocabulary.contains(token)) added.push_back({{"id", vocabulary[token]}, {"content", token}, {"special", true}});
  }
  const JsonNode strip_accents = config["strip_accents"];
  return {
      {"model", {{"type", "WordPiece"}, {"vocab", vocabulary}, {"unk_token", unknown}}},
      {"added_tokens", added},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", config["tokenize_chinese_chars"].boolean_or(true)},
        {"strip_accents", strip_accents.value()},
        {"lowercase", config["do_lower_case"].boolean_or(true)}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "BertProcessing"}, {"sep", {separator, id_of(separator)}}, {"cls", {classifier, id_of(classifier)}}}},
      {"decoder", {{"type", "WordPiece"}}}};
}

} // namespace tessera::tokenizer
