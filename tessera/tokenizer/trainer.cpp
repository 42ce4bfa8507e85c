#include "tessera/tokenizer/trainer.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/byte_alphabet.hpp"
#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/pre_tokenizer.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

using Json = nlohmann::ordered_json;

// The expression of Llama 3's published tokenizer.json.
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::size_t kBytes = 256;
constexpr std::int64_t kMinPairCount = 2; // a token that occurs once saves nothing

struct Pair {
  std::int32_t left;
  std::int32_t right;
  auto operator<=>(const Pair&) const = default;
};
struct PairHash {
  std::size_t operator()(const Pair& pair) const noexcept {
    return std::hash<std::uint64_t>{}(static_cast<std::uint64_t>(pair.left) << 32 |
                                      static_cast<std::uint32_t>(pair.right));
  }
};

struct Word {
  std::vector<std::int32_t> ids;
  std::int64_t count = 0; // occurrences in the texts
};

Json pre_tokenizer_json() {
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", kLlama3Pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}};
}

// The distinct pieces of the texts as byte ids, in order of first occurrence.
std::vector<Word> count_words(std::span<const std::string> texts) {
  const nlohmann::json rules = pre_tokenizer_json();
  const auto pre_tokenizer = make_pre_tokenizer(JsonNode(rules, "pre_tokenizer"));
  std::unordered_map<std::string, std::size_t> index;
  std::vector<Word> words;
  for (const std::string& text : texts) {
    if (text.empty()) continue;
    std::vector<Piece> pieces;
    pieces.push_back({text, true});
    pre_tokenizer->apply(pieces);
    for (const Piece& piece : pieces) {
      const auto [entry, is_new] = index.emplace(piece.text, words.size());
      if (is_new) {
        Word word;
        const std::string bytes = ByteAlphabet::instance().decode(piece.text).value();
        for (const char byte : bytes) word.ids.push_back(static_cast<unsigned char>(byte));
        words.push_back(std::move(word));
      }
      ++words[entry->second].count;
    }
  }
  return words;
}

/// Finds merges one by one: always the pair that occurs most often, of equals the one with the smallest ids.
class MergeSearch {
 public:
  explicit MergeSearch(std::vector<Word> words) : words_(std::move(words)) {
    for (std::size_t byte = 0; byte < kBytes; ++byte)
      add_token(ByteAlphabet::instance().symbol(static_cast<unsigned char>(byte)));
    for (std::size_t w = 0; w < words_.size(); ++w) count_pairs(w, words_[w].count);
    for (const auto& [pair, count] : counts_) queue_.push({count, pair});
  }

  /// Learns until there are `num_tokens` tokens or no pair occurs often enough.
  void run(std::size_t num_tokens) {
    while (tokens_.size() < num_tokens && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const std::int64_t count = counts_.at(best.pair);
      if (count < kMinPairCount) continue;
      if (count != best.count) { // other merges have taken some of its occurrences
        queue_.push({count, best.pair});
        continue;
      }
      learn(best.pair);
    }
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<Pair>& merges() const { return merges_; }

 private:
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  // Another pair may spell a token that exists ("a" + "bc", "ab" + "c"): it keeps its id.
  std::int32_t add_token(const std::string& token) {
    const auto [entry, is_new] = ids_.emplace(token, static_cast<std::int32_t>(tokens_.size()));
    if (is_new) tokens_.push_back(token);
    return entry->second;
  }

  // Adds `times` to the counts of all pairs in a word and notes the word with them.
  void count_pairs(std::size_t w, std::int64_t times) {
    const std::vector<std::int32_t>& ids = words_[w].ids;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const Pair pair{ids[i], ids[i + 1]};
      counts_[pair] += times;
      if (times <= 0) continue;
      std::vector<std::size_t>& holders = words_with_[pair];
      if (holders.empty() || holders.back() != w) holders.push_back(w);
    }
  }

  void learn(Pair pair) {
    const std::string& left = tokens_[static_cast<std::size_t>(pair.left)];
    const std::int32_t merged = add_token(left + tokens_[static_cast<std::size_t>(pair.right)]);
    merges_.push_back(pair);
    const std::vector<std::size_t> holders = std::exchange(words_with_[pair], {});
    for (const std::size_t w : holders) replace_pair(w, pair, merged);
    counts_[pair] = 0;
  }

  void replace_pair(std::size_t w, Pair pair, std::int32_t merged) {
    std::vector<std::int32_t>& ids = words_[w].ids;
    std::vector<std::int32_t> replaced;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool here = i + 1 < ids.size() && Pair{ids[i], ids[i + 1]} == pair;
      replaced.push_back(here ? merged : ids[i]);
      if (here) ++i;
    }
    if (replaced.size() == ids.size()) return; // an earlier merge took the pair away
    count_pairs(w, -words_[w].count);
    ids = std::move(replaced);
    count_pairs(w, words_[w].count);
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const Pair next{ids[i], ids[i + 1]};
      if (next.left == merged || next.right == merged) queue_.push({counts_[next], next});
    }
  }

  std::vector<Word> words_;
  std::vector<std::string> tokens_; // by id, in the byte alphabet
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<Pair> merges_;
  std::unordered_map<Pair, std::int64_t, PairHash> counts_;
  std::unordered_map<Pair, std::vector<std::size_t>, PairHash> words_with_; // superset of the words that hold the pair
  std::priority_queue<Candidate> queue_; // counts may be out of date: checked when popped
};

Json post_processor_json(std::span<const std::string> special_tokens, std::size_t first_id) {
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  if (special_tokens.empty()) return byte_level;
  const std::string& bos = special_tokens[0];
  const auto special = [&](int type_id) { return Json{{"SpecialToken", {{"id", bos}, {"type_id", type_id}}}}; };
  const auto sequence = [](const char* id, int type_id) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type_id}}}};
  };
  const Json bos_entry = {{"id", bos}, {"ids", Json::array({first_id})}, {"tokens", Json::array({bos})}};
  const Json bos_template = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({special(0), sequence("A", 0)})},
      {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
      {"special_tokens", {{bos, bos_entry}}},
  };
  return {{"type", "Sequence"}, {"processors", Json::array({byte_level, bos_template})}};
}

Json model_json(const MergeSearch& found) {
  Json::object_t vocab; // filled from behind: its operator[] would search from the front
  for (std::size_t id = 0; id < found.tokens().size(); ++id) vocab.emplace_back(found.tokens()[id], id);
  Json merges = Json::array();
  for (const auto& [left, right] : found.merges()) {
    merges.push_back(found.tokens()[static_cast<std::size_t>(left)] + " " +
                     found.tokens()[static_cast<std::size_t>(right)]);
  }
  return {
      {"type", "BPE"},
      {"dropout", nullptr},
      {"unk_token", nullptr},
      {"continuing_subword_prefix", nullptr},
      {"end_of_word_suffix", nullptr},
      {"fuse_unk", false},
      {"byte_fallback", false},
      {"ignore_merges", false},
      {"vocab", std::move(vocab)},
      {"merges", std::move(merges)},
  };
}

void check_arguments(std::span<const std::string> texts, std::size_t vocab_size,
                     std::span<const std::string> special_tokens) {
  base::require(vocab_size >= kBytes + special_tokens.size() && vocab_size <= (std::size_t{1} << 24),
                "[train_byte_level_bpe] vocab_size must be from 256 bytes + {} special tokens to 2^24; received {}; "
                "choose another size",
                special_tokens.size(), vocab_size);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t invalid = find_invalid_utf8(texts[i]);
    base::require(invalid == std::string::npos,
                  "[train_byte_level_bpe] texts must be valid UTF-8; text {} is not at byte {}; convert it", i,
                  invalid);
  }
  for (std::size_t i = 0; i < special_tokens.size(); ++i) {
    const std::string& token = special_tokens[i];
    const auto before = special_tokens.first(i);
    base::require(!token.empty() && find_invalid_utf8(token) == std::string::npos &&
                      std::find(before.begin(), before.end(), token) == before.end(),
                  "[train_byte_level_bpe] special tokens must be distinct UTF-8 texts; received {} at place {}; rename "
                  "it",
                  quote(token), i);
  }
}

} // namespace

std::string train_byte_level_bpe(std::span<const std::string> texts, std::size_t vocab_size,
                                 std::span<const std::string> special_tokens) {
  check_arguments(texts, vocab_size, special_tokens);
  MergeSearch search(count_words(texts));
  search.run(vocab_size - special_tokens.size());

  const std::vector<std::string>& learned = search.tokens();
  Json added = Json::array();
  for (const std::string& token : special_tokens) {
    base::require(std::find(learned.begin(), learned.end(), token) == learned.end(),
                  "[train_byte_level_bpe] special tokens must differ from learned ones; received {}; rename it",
                  quote(token));
    added.push_back({{"id", learned.size() + added.size()},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", nullptr},
      {"pre_tokenizer", pre_tokenizer_json()},
      {"post_processor", post_processor_json(special_tokens, learned.size())},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model", model_json(search)},
  };
  return file.dump(1) + "\n";
}

} // namespace tessera::tokenizer
