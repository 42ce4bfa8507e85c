#include "tessera/tokenizer/regex.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  std::vector<std::string> out;
  for (const auto& [begin, end] : Regex(pattern).find_all(text)) out.emplace_back(text.substr(begin, end - begin));
  return out;
}
using Strings = std::vector<std::string>;

TEST(Regex, FindsUnicodeClassesAndLooksAhead) {
  EXPECT_EQ(matches(R"(\p{L}+|\p{N}{1,3})", "Größe 12345"), (Strings{"Größe", "123", "45"}));
  EXPECT_EQ(matches(R"(\s+(?!\S)|\s+)", "a   b"), (Strings{"  ", " "}));
  EXPECT_EQ(matches(R"((?i:'s))", "it'S"), Strings{"'S"});
}

TEST(Regex, TakesUnicodeWhiteSpaceAsOnigurumaDoes) {
  EXPECT_EQ(matches(R"(\s)", "\u180E"), Strings{}); // no space since Unicode 6.3; PCRE2's own \s takes it
  EXPECT_EQ(matches(R"([^\s]+)", "a\u180Eb\u0085c"), (Strings{"a\u180Eb", "c"}));
  EXPECT_EQ(matches(R"(\S+)", "a\u180E \u3000b"), (Strings{"a\u180E", "b"}));
  EXPECT_EQ(matches(R"(\w+)", "e\u0301tude-2"), (Strings{"e\u0301tude", "2"})); // marks belong to words
  EXPECT_EQ(matches(R"([[:upper:]\s]+)", "aB Cd"), Strings{"B C"});
}

TEST(Regex, KeepsEmptyMatchesThatDoNotTouchTheOneBefore) {
  const auto found = Regex("(?=[A-Z])").find_all("aBéC");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].begin, 1u);
  EXPECT_EQ(found[1].begin, 4u);
  EXPECT_EQ(matches("a*", "aab"), (Strings{"aa", ""}));
}

TEST(Regex, NamesThePatternThatDoesNotCompile) {
  const auto text = error_text<base::InvalidArgument>([] { Regex("(a"); });
  EXPECT_THAT(text, HasSubstr("\"(a\""));
  EXPECT_THAT(text, HasSubstr("parenthesis"));
  error_text<base::InvalidArgument>([] { Regex("\xFF"); });
  error_text<base::InvalidArgument>([] { Regex(R"(\C)"); }); // would cut characters
}

TEST(Regex, RefusesClassesThatPcreReadsDifferently) {
  error_text<base::Unsupported>([] { Regex(R"([\p{L}&&[a-z]])"); });
  error_text<base::Unsupported>([] { Regex(R"([a[bc]])"); });
}

TEST(Regex, StopsACatastrophicSearch) {
  const Regex regex("(?:a+)+[bd]"); // a fixed last character would let PCRE2 see at once that nothing matches
  const auto text = error_text<base::InvalidArgument>([&] { regex.find_all(std::string(5000, 'a') + "c"); });
  EXPECT_THAT(text, HasSubstr("bounded number of steps"));
}

TEST(Regex, HandlesAMegabyteOfOneCharacter) {
  const std::string spaces(1 << 20, ' ');
  const auto found = Regex(R"(\s*[\r\n]+|\s+(?!\S)|\s+)").find_all(spaces);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].end, spaces.size());
}

} // namespace
} // namespace tessera::tokenizer
