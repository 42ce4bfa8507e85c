#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace tessera::tokenizer {

/// Bytes [begin, end) of a text.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A regular expression as Hugging Face tokenizers write them (Oniguruma's Ruby syntax with Unicode classes), run by
/// PCRE2. Immutable; may be used by several threads at once.
class Regex {
 public:
  /// Throws InvalidArgument naming the place where `pattern` is not a valid expression, Unsupported for syntax that
  /// PCRE2 reads differently (class intersection `&&`).
  explicit Regex(std::string_view pattern);

  /// All matches from left to right, not overlapping. An empty match counts unless it touches the match before it.
  /// REQUIRES: `text` is valid UTF-8. Throws InvalidArgument when the expression needs too many steps on this text.
  std::vector<Range> find_all(std::string_view text) const;

 private:
  std::string pattern_; // as given, for messages
  std::shared_ptr<const pcre2_real_code_8> code_;
};

/// `pattern` with `\s` and `\w` written out, because PCRE2 10.42 takes U+180E as a space and leaves marks out of
/// words, where Oniguruma follows Unicode's White_Space and UTS 18.
std::string translate_pattern(std::string_view pattern);

} // namespace tessera::tokenizer
