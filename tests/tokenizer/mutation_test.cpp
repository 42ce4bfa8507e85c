#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "fuzz/tokenizer_target.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

// Files that differ a little from valid ones: reading one succeeds or throws base::Error, and so does using it. Run
// under the address and undefined-behaviour sanitizers too. The seeds are fixed, so a failure can be repeated.

namespace tessera::tokenizer {
namespace {

constexpr int kRounds = 2500; // per kind of mutation

Json seed_byte_level() {
  Json file = byte_level_file({{"Ġ", "a"}, {"Ġa", "b"}});
  for (int byte = 0; byte < 256; ++byte) { // a short vocabulary, so that mutations hit the rest as well
    if (byte < ' ' || byte > 'f')
      file["model"]["vocab"].erase(ByteAlphabet::instance().symbol(static_cast<unsigned char>(byte)));
  }
  file["normalizer"] = Json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"},
      {"type": "Strip", "strip_left": true, "strip_right": false}]})");
  file["pre_tokenizer"] = Json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"},
       "behavior": "Isolated", "invert": false},
      {"type": "Digits", "individual_digits": true}, {"type": "Punctuation", "behavior": "Contiguous"},
      {"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}]})");
  file["added_tokens"] = Json::parse(R"([{"id": 500, "content": "<s>", "single_word": false, "lstrip": true,
      "rstrip": true, "normalized": false, "special": true}, {"id": 501, "content": "xx", "single_word": true,
      "lstrip": false, "rstrip": false, "normalized": true, "special": false}])");
  return file;
}

Json seed_sentencepiece() {
  Json file = sentencepiece_file({"▁", "a", "b"}, {{"▁", "a"}});
  Json& vocab = file["model"]["vocab"];
  for (const std::string& token : byte_tokens()) {
    if (token[3] != 'C' && token[3] != 'A') vocab.erase(token);
  }
  file["pre_tokenizer"] = Json::parse(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
      "split": true})");
  return file;
}

Json seed_bert() {
  Json file = bert_file();
  file["normalizer"]["strip_accents"] = nullptr;
  return file;
}

// How many files were read and how many refused; every other outcome fails the test.
struct Outcomes {
  int read = 0;
  int refused = 0;

  void count(const std::string& text) {
    try {
      ++(fuzz::read_and_use_tokenizer(text) ? read : refused);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << " for " << text;
    }
  }
};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_); }

  std::string mutate_bytes(std::string text) {
    for (std::size_t times = 1 + below(4); times > 0 && !text.empty(); --times) {
      const std::size_t at = below(text.size());
      const std::size_t count = std::min(1 + below(8), text.size() - at);
      switch (below(4)) {
        case 0:
          text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
          break;
        case 1:
          text.erase(at, count);
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), count));
          break;
        default:
          text[at] = "\"{}[],:0\\\xFF"[below(10)];
      }
    }
    return text;
  }

  // Swaps, drops, repeats or replaces a value anywhere in the document.
  Json mutate_values(Json document) {
    for (std::size_t times = 1 + below(3); times > 0; --times) {
      std::vector<Json*> values;
      collect(document, values);
      Json& value = *values[below(values.size())];
      switch (below(4)) {
        case 0:
          value = replacement();
          break;
        case 1:
          value = Json(*values[below(values.size())]);
          break; // a copy: one may hold the other
        case 2:
          if (value.is_structured() && !value.empty()) drop_one(value);
          break;
        default:
          if (value.is_array() && !value.empty()) value.push_back(Json(value[below(value.size())]));
      }
    }
    return document;
  }

 private:
  static void collect(Json& value, std::vector<Json*>& out) {
    out.push_back(&value);
    if (value.is_structured()) {
      for (Json& inner : value) collect(inner, out);
    }
  }

  void drop_one(Json& value) {
    auto victim = value.begin();
    std::advance(victim, static_cast<std::ptrdiff_t>(below(value.size())));
    value.erase(victim);
  }

  Json replacement() {
    const std::vector<Json> all = {nullptr,
                                   true,
                                   false,
                                   0,
                                   -1,
                                   2147483647,
                                   4294967296,
                                   1e300,
                                   0.5,
                                   "",
                                   "a",
                                   " ",
                                   "a b",
                                   "ByteLevel",
                                   "Sequence",
                                   "(",
                                   "(a*)*b",
                                   "[[:",
                                   "\\",
                                   Json::array(),
                                   Json::object(),
                                   Json::array({nullptr}),
                                   {{"type", "Fuse"}},
                                   {{"String", "a"}},
                                   {{"Regex", ""}}};
    return all[below(all.size())];
  }

  std::mt19937 random_;
};

class Mutations : public ::testing::TestWithParam<Json (*)()> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Mutations, ::testing::Values(&seed_byte_level, &seed_sentencepiece, &seed_bert));

TEST_P(Mutations, OfBytesGiveATokenizerOrOneOfOurErrors) {
  const std::string seed = GetParam()().dump();
  Mutator mutator(1);
  Outcomes outcomes;
  for (int i = 0; i < kRounds; ++i) outcomes.count(mutator.mutate_bytes(seed));
  EXPECT_GT(outcomes.read, kRounds / 100); // both ways are taken
  EXPECT_GT(outcomes.refused, kRounds / 100);
}

TEST_P(Mutations, OfValuesGiveATokenizerOrOneOfOurErrors) {
  const Json seed = GetParam()();
  Mutator mutator(2);
  Outcomes outcomes;
  for (int i = 0; i < kRounds; ++i) outcomes.count(mutator.mutate_values(seed).dump());
  EXPECT_GT(outcomes.read, kRounds / 100);
  EXPECT_GT(outcomes.refused, kRounds / 100);
}

TEST_P(Mutations, CutShortAnywhereGiveOneOfOurErrors) {
  const std::string seed = GetParam()().dump();
  Outcomes outcomes;
  for (std::size_t size = 0; size < seed.size(); ++size) outcomes.count(seed.substr(0, size));
  EXPECT_EQ(outcomes.read, 0);
  EXPECT_EQ(outcomes.refused, static_cast<int>(seed.size()));
}

} // namespace
} // namespace tessera::tokenizer
