#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/tokenizer/byte_alphabet.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

// Small tokenizer.json documents for the tests.

namespace tessera::tokenizer {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;
using Merges = std::vector<std::pair<std::string, std::string>>;

/// A BPE model whose vocabulary is `tokens`, ids in that order, then what `merges` give.
inline Json bpe_model(std::vector<std::string> tokens, const Merges& merges = {}) {
  Json merge_list = Json::array();
  for (const auto& [left, right] : merges) {
    merge_list.push_back({left, right});
    tokens.push_back(left + right);
  }
  Json vocab = Json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocab.emplace(tokens[id], id);
  return {{"type", "BPE"}, {"vocab", vocab}, {"merges", merge_list}};
}

/// The 256 symbols of the byte alphabet, in the order of their bytes.
inline std::vector<std::string> byte_symbols() {
  std::vector<std::string> symbols;
  for (int byte = 0; byte < 256; ++byte)
    symbols.push_back(ByteAlphabet::instance().symbol(static_cast<unsigned char>(byte)));
  return symbols;
}

/// The tokens "<0x00>" .. "<0xFF>".
inline std::vector<std::string> byte_tokens() {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::vector<std::string> tokens;
  for (std::size_t byte = 0; byte < 256; ++byte)
    tokens.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
  return tokens;
}

/// GPT-2's kind: ids 0..255 are the bytes, then the merges.
inline Json byte_level_file(const Merges& merges = {}) {
  return {{"model", bpe_model(byte_symbols(), merges)},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

/// Llama 2's kind: <unk> 0, <s> 1, </s> 2, the bytes 3..258, then `characters` and the merges.
inline Json sentencepiece_file(const std::vector<std::string>& characters, const Merges& merges = {}) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  for (const std::string& token : byte_tokens()) tokens.push_back(token);
  tokens.insert(tokens.end(), characters.begin(), characters.end());
  Json model = bpe_model(tokens, merges);
  model["unk_token"] = "<unk>";
  model["fuse_unk"] = true;
  model["byte_fallback"] = true;
  return {
      {"model", model},
      {"added_tokens", Json::array({{{"id", 0}, {"content", "<unk>"}, {"special", true}},
                                    {{"id", 1}, {"content", "<s>"}, {"special", true}},
                                    {{"id", 2}, {"content", "</s>"}, {"special", true}}})},
      {"normalizer", Json::parse(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                     {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})")},
      {"post_processor", Json::parse(R"({"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
          "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})")},
      {"decoder", Json::parse(R"({"type": "Sequence", "decoders": [
          {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
          {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})")},
  };
}

/// BERT's kind, uncased: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then `words`.
inline Json bert_file(const std::vector<std::string>& words = {"un", "##aff", "##able", "a", "##b", ",", "12", "ab"}) {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  tokens.insert(tokens.end(), words.begin(), words.end());
  Json vocab = Json::object();
  Json added = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    vocab.emplace(tokens[id], id);
    if (id < 5) added.push_back({{"id", id}, {"content", tokens[id]}, {"special", true}});
  }
  return {{"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", vocab}}},
          {"added_tokens", added},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", Json::parse(R"({"type": "TemplateProcessing",
              "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                         {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
              "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
              "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                                 "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}})")},
          {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}}};
}

inline Tokenizer make_tokenizer(const Json& file) {
  return Tokenizer::parse(file.dump(), "test");
}

/// The tokens of a text as the vocabulary spells them.
inline std::vector<std::string> tokens_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> tokens;
  for (const std::int32_t id : tokenizer.encode(text, false)) tokens.push_back(tokenizer.id_to_token(id));
  return tokens;
}

} // namespace tessera::tokenizer
