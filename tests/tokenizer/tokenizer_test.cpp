#include "tessera/tokenizer/tokenizer.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

TEST(Tokenizer, LoadsTheFileOrTheFolderThatHoldsIt) {
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_file().dump());
  EXPECT_EQ(Tokenizer::load(folder.path()).vocab_size(), 256u);
  EXPECT_EQ(Tokenizer::load(folder.path() / "tokenizer.json").encode("A", false), Ids{'A'});
}

TEST(Tokenizer, SaysWhatAFolderWithoutTokenizerJsonHolds) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_text<base::IoError>([&] { Tokenizer::load(folder.path()); }), HasSubstr("no tokenizer file"));
  folder.write("tokenizer.model", "x");
  EXPECT_THAT(error_text<base::IoError>([&] { Tokenizer::load(folder.path()); }),
              AllOf(HasSubstr("tokenizer.model"), HasSubstr("AutoTokenizer")));
  error_text<base::IoError>([&] { Tokenizer::load(folder.path() / "absent"); });
}

TEST(Tokenizer, NamesTheFileInMessages) {
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"model": 1})");
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { Tokenizer::load(folder.path()); }),
              HasSubstr("tokenizer.json: model must be an object; received 1"));
}

TEST(Tokenizer, CoversGpt2sKind) {
  const Tokenizer tokenizer = make_tokenizer(byte_level_file({{"Ġ", "a"}, {"Ġa", "b"}}));
  EXPECT_EQ(tokenizer.encode("ab ab\n", false), (Ids{'a', 'b', 257, '\n'}));
  EXPECT_EQ(tokenizer.decode(Ids{'a', 'b', 257, '\n'}), "ab ab\n");
  EXPECT_EQ(tokenizer.id_to_token(256), "Ġa");
}

TEST(Tokenizer, CoversQwen2sKind) {
  // NFC, then Split with Qwen2's expression (one digit at a time), then ByteLevel without its own expression.
  Json file = byte_level_file({{"Ã", "©"}, {"t", "Ã©"}, {"4", "2"}});
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] = Json::parse(R"JSON({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
       "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]})JSON");
  file["added_tokens"] = Json::array({{{"id", 300}, {"content", "<|endoftext|>"}, {"special", true}}});
  const Tokenizer tokenizer = make_tokenizer(file);
  EXPECT_EQ(tokens_of(tokenizer, "te\u0301 42<|endoftext|>"), (Strings{"tÃ©", "Ġ", "4", "2", "<|endoftext|>"}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("te\u0301", false)), "t\u00E9");
  EXPECT_EQ(tokenizer.decode(Ids{300, 'a'}), "<|endoftext|>a");
  EXPECT_EQ(tokenizer.decode(Ids{300, 'a'}, true), "a");
}

TEST(Tokenizer, CoversLlama2sKind) {
  const Tokenizer tokenizer = make_tokenizer(sentencepiece_file({"▁", "a", "b"}, {{"▁", "a"}}));
  EXPECT_EQ(tokens_of(tokenizer, "a é"), (Strings{"▁a", "▁", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(tokens_of(tokenizer, "a</s>b"), (Strings{"▁a", "</s>", "▁", "b"})); // each part is normalized alone
  EXPECT_EQ(tokenizer.encode("", true), Ids{1});
  EXPECT_EQ(tokenizer.encode("", false), Ids{});
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a é", true), true), "a é");
}

TEST(Tokenizer, CoversMistralsMetaspaceKind) {
  // As newer exports write it: no normalizer, the prefix only before the beginning of the text.
  Json file = sentencepiece_file({"▁", "a", "b"}, {{"▁", "a"}, {"▁", "b"}});
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] =
      Json::parse(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false})");
  const Tokenizer tokenizer = make_tokenizer(file);
  EXPECT_EQ(tokens_of(tokenizer, "a b"), (Strings{"▁a", "▁b"}));
  EXPECT_EQ(tokens_of(tokenizer, "<s>a b"), (Strings{"<s>", "a", "▁b"}));
  EXPECT_EQ(tokens_of(tokenizer, " a"), Strings{"▁a"});
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a b", false)), "a b");
}

TEST(Tokenizer, NamesTheByteWhereATextIsNotUtf8) {
  const Tokenizer tokenizer = make_tokenizer(byte_level_file());
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { tokenizer.encode("ab\xFFz", false); }),
              AllOf(HasSubstr("0xff"), HasSubstr("offset 2")));
}

TEST(Tokenizer, RefusesIdsThatNameNoToken) {
  Json file = byte_level_file();
  file["added_tokens"] = Json::array({{{"id", 300}, {"content", "<s>"}}});
  const Tokenizer tokenizer = make_tokenizer(file);
  EXPECT_EQ(tokenizer.vocab_size(), 301u);
  for (const std::int32_t id : {-1, 299, 301, 2147483647}) {
    EXPECT_FALSE(tokenizer.has_id(id));
    EXPECT_THAT(error_text<base::InvalidArgument>([&] { tokenizer.decode(Ids{id}); }), HasSubstr(std::to_string(id)));
  }
  EXPECT_TRUE(tokenizer.has_id(300) && tokenizer.has_id(0));
  EXPECT_EQ(tokenizer.token_to_id("absent"), std::nullopt);
}

TEST(Tokenizer, RefusesTextThatIsNotJson) {
  for (const std::string broken :
       {"", "{", "nonsense", "{\"model\": {}", "{\"a\": 1e999}", "{\"a\": \"\xFF\"}", "[1,]"}) {
    EXPECT_THAT(error_text<base::IoError>([&] { Tokenizer::parse(broken, "file"); }), HasSubstr("file must be JSON"));
  }
  for (const std::string wrong : {"[]", "null", "3", "{}"}) {
    error_text<base::InvalidArgument>([&] { Tokenizer::parse(wrong, "file"); });
  }
}

TEST(Tokenizer, RefusesDeepNestingBeforeBuildingIt) {
  const std::size_t many = 10'000'000;
  const auto text = error_text<base::IoError>([&] { Tokenizer::parse(std::string(many, '['), "file"); });
  EXPECT_THAT(text, HasSubstr("at most 200 levels deep; received 10000000"));
  Json normalizer = {{"type", "NFC"}};
  for (int i = 0; i < 150; ++i) normalizer = {{"type", "Sequence"}, {"normalizers", Json::array({normalizer})}};
  Json file = byte_level_file();
  file["normalizer"] = normalizer; // two levels each
  error_text<base::IoError>([&] { make_tokenizer(file); });
}

TEST(Tokenizer, MayBeUsedByThreadsAtOnce) {
  const Tokenizer tokenizer = make_tokenizer(byte_level_file({{"Ġ", "a"}, {"Ġa", "b"}}));
  const std::string text = "ab ab 12 ab\n";
  const Ids expected = tokenizer.encode(text, false);
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (std::size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i)
        equal[t] += tokenizer.encode(text, false) == expected && tokenizer.decode(expected) == text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(4, 200));
}

} // namespace
} // namespace tessera::tokenizer
