#include "tessera/tokenizer/bpe_model.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

using nlohmann::json;

void check_not_built(const JsonNode& node) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonNode option = node[key];
    base::require<base::Unsupported>(option.is_null() || option.string().empty(),
                                     "[tokenizer] {} must be null or empty, other values are not built; received {}; "
                                     "use a byte-level or SentencePiece-style tokenizer",
                                     option.path(), quote(option.is_null() ? "" : option.string()));
  }
  const JsonNode dropout = node["dropout"];
  base::require<base::Unsupported>(dropout.is_null() || dropout.value() == 0,
                                   "[tokenizer] {} must be null or 0, random merges are not built; received {}; set it "
                                   "to null",
                                   dropout.path(), dropout.value().dump(-1, ' ', true));
}

// The two tokens of a merge, written "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> split_merge(const json& merge, const JsonNode& node, std::size_t rank) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  JsonNode(merge, fmt::format("{}[{}]", node.path(), rank)).fail("two tokens, as \"a b\" or [\"a\", \"b\"]");
}

[[noreturn]] void fail_merge(const JsonNode& node, std::int32_t rank, std::string_view left, std::string_view right,
                             std::string_view absent) {
  throw base::InvalidArgument(
      fmt::format("[tokenizer] {}[{}] must name tokens of the vocabulary and give one; received {} + {}, and {} is not "
                  "in the vocabulary; correct the file or export it again",
                  node.path(), rank, quote(left), quote(right), quote(absent)));
}

} // namespace

BpeModel::BpeModel(const JsonNode& node) {
  check_not_built(node);
  fuse_unknown_ = node["fuse_unk"].boolean_or(false);
  byte_fallback_ = node["byte_fallback"].boolean_or(false);
  ignore_merges_ = node["ignore_merges"].boolean_or(false);
  vocabulary_ = read_vocabulary(node["vocab"]);
  read_merges(node["merges"]);
  read_characters();
  if (const JsonNode unknown = node["unk_token"]; !unknown.is_null()) {
    unknown_id_ = vocabulary_.id(unknown.string());
    if (!unknown_id_) unknown.fail("null or a token of the vocabulary");
  }
}

void BpeModel::read_merges(const JsonNode& node) {
  if (!node.value().is_array()) node.fail("an array of merges");
  base::require(node.value().size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()),
                "[tokenizer] {} must hold fewer than 2^31 merges; received {}; correct the file", node.path(),
                node.value().size());
  merges_ = MergeTable(node.value().size());
  std::int32_t rank = 0;
  for (const json& merge : node.value()) {
    const auto pair = split_merge(merge, node, static_cast<std::size_t>(rank));
    const std::string_view left = pair.first; // not structured bindings: clang 14 cannot capture those
    const std::string_view right = pair.second;
    const auto id_of = [&](std::string_view token) {
      const auto id = vocabulary_.id(token);
      if (!id) fail_merge(node, rank, left, right, token);
      return *id;
    };
    const std::int32_t merged = id_of(std::string(left).append(right));
    merges_.set(id_of(left), id_of(right), Merge{rank, merged}); // as in Hugging Face, the last of equal merges counts
    ++rank;
  }
}

void BpeModel::read_characters() {
  for (std::int32_t byte = 0; byte < 256; ++byte) {
    byte_ids_[static_cast<std::size_t>(byte)] = vocabulary_.id(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
  vocabulary_.for_each([&](const std::string& token, std::int32_t id) {
    if (token.empty() || utf8_length(token[0]) != token.size()) return;
    std::size_t pos = 0;
    character_ids_.emplace(next_char(token, pos), id);
  });
}

void BpeModel::append_bytes_or_unknown(std::string_view character, bool& last_was_unknown,
                                       std::vector<std::int32_t>& ids) const {
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (byte_fallback_ && std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : character) ids.push_back(byte_id(c));
    last_was_unknown = false;
  } else if (unknown_id_) {
    if (!(fuse_unknown_ && last_was_unknown)) ids.push_back(*unknown_id_);
    last_was_unknown = true;
  }
}

std::vector<std::int32_t> BpeModel::characters_to_ids(std::string_view piece) const {
  std::vector<std::int32_t> ids;
  ids.reserve(piece.size());
  bool last_was_unknown = false;
  for (std::size_t pos = 0; pos < piece.size();) {
    const std::size_t begin = pos;
    const auto found = character_ids_.find(next_char(piece, pos));
    if (found == character_ids_.end()) {
      append_bytes_or_unknown(piece.substr(begin, pos - begin), last_was_unknown, ids);
    } else {
      ids.push_back(found->second);
      last_was_unknown = false;
    }
  }
  return ids;
}

// A queue of the pairs that can merge, best first: a piece of n characters takes O(n log n), which matters for
// SentencePiece-style models, where a whole text is one piece.
void BpeModel::merge(std::vector<Symbol>& symbols) const {
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;    // of the left symbol
    std::int32_t left, right; // ids when queued: when either has changed since, the candidate is void
    std::int32_t merged;
  };
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const auto at = [&](std::int32_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  std::vector<Candidate> queue;
  const auto candidate = [&](std::int32_t position) -> std::optional<Candidate> {
    const Symbol& left = at(position);
    if (left.next < 0) return std::nullopt;
    const std::int32_t right = at(left.next).id;
    const Merge* found = merges_.find(left.id, right);
    if (found == nullptr) return std::nullopt;
    return Candidate{found->rank, position, left.id, right, found->id};
  };
  const auto enqueue = [&](std::int32_t position) {
    if (const auto next = candidate(position)) {
      queue.push_back(*next);
      std::push_heap(queue.begin(), queue.end(), later);
    }
  };

  for (std::int32_t i = 0; std::cmp_less(i, symbols.size()); ++i) {
    if (const auto next = candidate(i)) queue.push_back(*next);
  }
  std::make_heap(queue.begin(), queue.end(), later);
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const Candidate best = queue.back();
    queue.pop_back();
    Symbol& left = at(best.position);
    if (left.id != best.left || left.next < 0 || at(left.next).id != best.right) continue;
    Symbol& right = at(left.next);
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) at(left.next).previous = best.position;
    if (left.previous >= 0) enqueue(left.previous);
    enqueue(best.position);
  }
}

void BpeModel::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  if (ignore_merges_) {
    if (const auto whole = vocabulary_.id(piece)) {
      out.push_back(*whole);
      return;
    }
  }
  const std::vector<std::int32_t> ids = characters_to_ids(piece);
  const auto count = static_cast<std::int32_t>(ids.size());
  std::vector<Symbol> symbols(ids.size());
  for (std::int32_t i = 0; i < count; ++i) {
    symbols[static_cast<std::size_t>(i)] = {ids[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1};
  }
  merge(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) out.push_back(symbol.id);
  }
}

} // namespace tessera::tokenizer
