#include "tessera/tokenizer/stream_decoder.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/utf8.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

// The whole text, after checking that each part is whole characters.
std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special_tokens = false) {
  StreamDecoder decoder(tokenizer, skip_special_tokens);
  std::string text;
  const auto take = [&](const std::string& part) {
    EXPECT_EQ(find_invalid_utf8(part), std::string::npos) << "half a character";
    text += part;
  };
  for (const std::int32_t id : ids) take(decoder.push(id));
  take(decoder.finish());
  return text;
}

std::vector<Json> kinds() {
  Json metaspace = sentencepiece_file({"▁", "a", "b"});
  metaspace["decoder"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  Json no_decoder = byte_level_file();
  no_decoder["decoder"] = nullptr;
  return {byte_level_file({{"ð", "Ł"}, {"Ġ", "a"}}), sentencepiece_file({"▁", "a", "b"}, {{"▁", "a"}}), metaspace,
          no_decoder};
}

TEST(StreamDecoder, NeverPrintsHalfACharacterOfAnEmojiSplitOverTokens) {
  for (const Json& file : kinds()) {
    const Tokenizer tokenizer = make_tokenizer(file);
    const Ids ids = tokenizer.encode("a 🙂‍🙃é b", false);
    EXPECT_EQ(stream(tokenizer, ids), tokenizer.decode(ids));
  }
}

TEST(StreamDecoder, GivesTextAsSoonAsItIsCertain) {
  StreamDecoder decoder(make_tokenizer(byte_level_file()));
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push(0xA9), "é");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
}

TEST(StreamDecoder, EqualsDecodeForAnyIds) {
  std::mt19937 random(7);
  for (const Json& file : kinds()) {
    const Tokenizer tokenizer = make_tokenizer(file);
    std::uniform_int_distribution<std::int32_t> any_id(0, static_cast<std::int32_t>(tokenizer.vocab_size()) - 1);
    for (int round = 0; round < 500; ++round) {
      Ids ids(static_cast<std::size_t>(round % 20));
      for (std::int32_t& id : ids) id = any_id(random);
      EXPECT_EQ(stream(tokenizer, ids), tokenizer.decode(ids));
      EXPECT_EQ(stream(tokenizer, ids, true), tokenizer.decode(ids, true));
    }
  }
}

TEST(StreamDecoder, SkipsSpecialTokensWhenToldTo) {
  const Tokenizer tokenizer = make_tokenizer(sentencepiece_file({"▁", "a", "b"}, {{"▁", "a"}}));
  const Ids ids = tokenizer.encode("a", true);
  EXPECT_EQ(stream(tokenizer, ids), "<s> a");
  EXPECT_EQ(stream(tokenizer, ids, true), "a");
}

TEST(StreamDecoder, RefusesIdsThatNameNoToken) {
  StreamDecoder decoder(make_tokenizer(byte_level_file()));
  error_text<base::InvalidArgument>([&] { decoder.push(256); });
  EXPECT_EQ(decoder.push('a'), "a"); // the stream goes on
}

} // namespace
} // namespace tessera::tokenizer
