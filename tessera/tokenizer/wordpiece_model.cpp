#include "tessera/tokenizer/wordpiece_model.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::tokenizer {
namespace {

bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

} // namespace

WordPieceModel::WordPieceModel(const JsonNode& node) {
  vocabulary_ = read_vocabulary(node["vocab"]);
  if (const JsonNode unknown = node["unk_token"]; !unknown.is_null()) unknown_ = unknown.string();
  if (const JsonNode prefix = node["continuing_subword_prefix"]; !prefix.is_null()) prefix_ = prefix.string();
  if (const JsonNode limit = node["max_input_chars_per_word"]; !limit.is_null())
    max_characters_ = static_cast<std::size_t>(limit.id());
  unknown_id_ = vocabulary_.id(unknown_);
  vocabulary_.for_each(
      [&](const std::string& token, std::int32_t) { longest_token_ = std::max(longest_token_, token.size()); });
}

std::optional<WordPieceModel::Found> WordPieceModel::longest_at(std::string_view word, std::size_t begin) const {
  std::string token = begin > 0 ? prefix_ : "";
  const std::size_t prefix = token.size();
  std::size_t end = std::min(word.size(), begin + longest_token_);
  token += word.substr(begin, end - begin);
  for (; end > begin; --end) {
    if (end < word.size() && !begins_character(word[end])) continue;
    if (const auto id = vocabulary_.id(std::string_view(token).substr(0, prefix + end - begin))) return Found{*id, end};
  }
  return std::nullopt;
}

void WordPieceModel::append_unknown(std::string_view word, std::vector<std::int32_t>& out) const {
  base::require(unknown_id_.has_value(),
                "[encode] a word that is not in the vocabulary needs the unknown token {}, which is not there either; "
                "received {}; correct unk_token",
                quote(unknown_), quote(word));
  out.push_back(*unknown_id_);
}

void WordPieceModel::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  if (static_cast<std::size_t>(std::count_if(piece.begin(), piece.end(), begins_character)) > max_characters_)
    return append_unknown(piece, out);
  const std::size_t before = out.size();
  for (std::size_t begin = 0; begin < piece.size();) {
    const auto found = longest_at(piece, begin);
    if (!found) {
      out.resize(before);
      return append_unknown(piece, out);
    }
    out.push_back(found->id);
    begin = found->end;
  }
}

} // namespace tessera::tokenizer
