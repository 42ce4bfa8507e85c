#include "tessera/tokenizer/added_tokens.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/unicode.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

AddedToken read_token(const JsonNode& node) {
  return {
      .id = node["id"].id(),
      .content = node["content"].string(),
      .single_word = node["single_word"].boolean_or(false),
      .lstrip = node["lstrip"].boolean_or(false),
      .rstrip = node["rstrip"].boolean_or(false),
      .normalized = node["normalized"].boolean_or(false),
      .special = node["special"].boolean_or(false),
  };
}

void check_against_model(const AddedToken& token, const JsonNode& node, const Vocabulary& model) {
  const auto model_id = model.id(token.content);
  base::require(!model_id || *model_id == token.id,
                "[tokenizer] {} must have the id that the model's vocabulary gives it; received {} for {}, which is {} "
                "there; correct the file",
                node.path(), token.id, quote(token.content), model_id.value_or(-1));
  const std::string* holder = model.token(token.id);
  base::require(holder == nullptr || *holder == token.content,
                "[tokenizer] {} must have an id of its own; received {} for {}, which the model's vocabulary gives to "
                "{}; correct the file",
                node.path(), token.id, quote(token.content), quote(holder == nullptr ? "" : *holder));
}

// The start of the character that ends at `end`. REQUIRES: end > 0, valid UTF-8.
std::size_t previous_char(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

char32_t char_at(std::string_view text, std::size_t pos) {
  return next_char(text, pos);
}

bool touches_word(std::string_view text, const Range& range) {
  return (range.begin > 0 && is_word(char_at(text, previous_char(text, range.begin)))) ||
         (range.end < text.size() && is_word(char_at(text, range.end)));
}

} // namespace

AddedTokens::AddedTokens(const JsonNode& node, const Vocabulary& model, const Normalizer* normalizer) {
  if (node.is_null()) return;
  for (const JsonNode& item : node.items()) {
    AddedToken token = read_token(item);
    if (token.content.empty()) item["content"].fail("a string that is not empty");
    check_against_model(token, item, model);
    vocabulary_.add(token.content, token.id);
    if (token.special) special_ids_.insert(token.id);
    std::string sought = token.content;
    if (token.normalized && normalizer != nullptr) normalizer->apply(sought);
    // Normalization can leave nothing to look for; such a token is never matched.
    if (!sought.empty())
      (token.normalized ? normalized_ : raw_).insert(sought, static_cast<std::int32_t>(tokens_.size()));
    tokens_.push_back(std::move(token));
  }
}

void AddedTokens::Trie::insert(std::string_view content, std::int32_t token) {
  std::int32_t at = 0;
  for (const char c : content) {
    const auto next = static_cast<std::int32_t>(nodes.size());
    const auto [child, is_new] = nodes[static_cast<std::size_t>(at)].children.emplace(c, next);
    at = child->second;
    if (is_new) nodes.emplace_back();
  }
  // Two tokens can normalize to the same text: the first one keeps it.
  std::int32_t& holder = nodes[static_cast<std::size_t>(at)].token;
  if (holder < 0) holder = token;
}

AddedTokens::Trie::Found AddedTokens::Trie::longest_at(std::string_view text, std::size_t pos) const {
  Found found;
  const Node* node = &nodes.front();
  for (std::size_t i = pos; i < text.size(); ++i) {
    const auto child = node->children.find(text[i]);
    if (child == node->children.end()) break;
    node = &nodes[static_cast<std::size_t>(child->second)];
    if (node->token >= 0) found = {node->token, i + 1};
  }
  return found;
}

std::vector<TokenOrText> AddedTokens::split(std::string_view text, const Trie& trie) const {
  std::vector<TokenOrText> parts;
  std::size_t done = 0; // everything before is in `parts`
  for (std::size_t pos = 0; pos < text.size();) {
    const Trie::Found found = trie.longest_at(text, pos);
    if (found.token < 0) {
      ++pos;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(found.token)];
    Range range{pos, found.end};
    pos = found.end;
    if (token.single_word && touches_word(text, range)) continue;
    // Whitespace that the token before has swallowed is not swallowed again, but a token inside it still counts.
    while (token.lstrip && range.begin > done && is_whitespace(char_at(text, previous_char(text, range.begin)))) {
      range.begin = previous_char(text, range.begin);
    }
    while (token.rstrip && range.end < text.size() && is_whitespace(char_at(text, range.end))) {
      range.end += utf8_length(text[range.end]);
    }
    if (range.begin > done) parts.push_back({-1, {done, range.begin}});
    parts.push_back({token.id, range});
    done = range.end;
  }
  if (done < text.size()) parts.push_back({-1, {done, text.size()}});
  return parts;
}

} // namespace tessera::tokenizer
