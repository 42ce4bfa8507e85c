#include "tessera/chat/lexer.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "tessera/base/error.hpp"

namespace tessera::chat {
namespace {

using Kind = Token::Kind;

constexpr std::array<std::string_view, 6> kLongOperators{"==", "!=", "<=", ">=", "//", "**"};
constexpr std::string_view kOperators = "+-*/%~<>=()[]{}.,:|";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}
bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    // Jinja leaves out one newline at the end of the source.
    if (source_.ends_with('\n')) source_.remove_suffix(1);
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) text();
    add(Kind::END, "");
    return std::move(tokens_);
  }

 private:
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool next_is(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void skip(std::size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + count), '\n'));
    at_ += count;
  }
  void skip_blanks() {
    while (at_ < source_.size() && is_blank(source_[at_])) skip(1);
  }

  /// Text up to the next tag, then the tag.
  void text() {
    std::size_t end = at_;
    while (end < source_.size()) {
      end = source_.find('{', end);
      if (end == std::string_view::npos) end = source_.size();
      if (end + 1 < source_.size() && std::string_view("{%#").find(source_[end + 1]) != std::string_view::npos) break;
      if (end < source_.size()) ++end;
    }
    std::string text(source_.substr(at_, end - at_));
    const bool opened = end < source_.size();
    const char tag = opened ? source_[end + 1] : ' ';
    const char mark = end + 2 < source_.size() ? source_[end + 2] : ' ';
    if (opened && mark == '-') {
      while (!text.empty() && is_blank(text.back())) text.pop_back();
    } else if (opened && tag != '{' && mark != '+') {
      strip_line(text);
    }
    if (!text.empty()) add(Kind::TEXT, std::move(text));
    skip(end - at_);
    if (!opened) return;
    skip(mark == '-' || mark == '+' ? 3 : 2);
    if (tag == '#') return comment();
    add(tag == '{' ? Kind::PRINT_BEGIN : Kind::BLOCK_BEGIN, "");
    expression(tag == '{' ? "}}" : "%}");
  }

  /// Blanks that begin the line of a block tag are not printed.
  void strip_line(std::string& text) const {
    const std::size_t newline = text.rfind('\n');
    if (newline == std::string::npos && at_ > 0 && source_[at_ - 1] != '\n') return;
    const std::size_t first = newline == std::string::npos ? 0 : newline + 1;
    if (std::all_of(text.begin() + static_cast<std::ptrdiff_t>(first), text.end(), is_blank)) text.resize(first);
  }

  /// Behind a tag: `-` eats all blanks, a block or comment one newline.
  void leave(bool minus, bool plus, bool block) {
    if (minus) {
      skip_blanks();
    } else if (block && !plus && next_is("\n")) {
      skip(1);
    }
  }

  void comment() {
    const std::size_t end = source_.find("#}", at_);
    base::require(end != std::string_view::npos, "[chat template] the comment of line {} must end with #}}", line_);
    const char mark = end > at_ ? source_[end - 1] : ' ';
    skip(end + 2 - at_);
    leave(mark == '-', mark == '+', true);
  }

  void expression(std::string_view closing) {
    const int first_line = line_;
    const bool block = closing == "%}";
    int depth = 0; // of braces, whose ends look like a tag's
    while (true) {
      skip_blanks();
      base::require(at_ < source_.size(), "[chat template] the tag of line {} must end with {}", first_line, closing);
      const bool minus = source_[at_] == '-';
      const bool plus = source_[at_] == '+';
      const std::size_t mark = minus || plus ? 1 : 0;
      if (depth == 0 && source_.substr(at_ + mark).starts_with(closing)) {
        skip(mark + 2);
        add(block ? Kind::BLOCK_END : Kind::PRINT_END, "");
        return leave(minus, plus, block);
      }
      const char c = source_[at_];
      if (c == '{') ++depth;
      if (c == '}') --depth;
      token(c);
    }
  }

  void token(char c) {
    if (c == '\'' || c == '"') return string(c);
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) return number();
    if (is_name(c)) {
      std::size_t end = at_;
      while (end < source_.size() && is_name(source_[end])) ++end;
      add(Kind::NAME, std::string(source_.substr(at_, end - at_)));
      return skip(end - at_);
    }
    for (const std::string_view known : kLongOperators) {
      if (!next_is(known)) continue;
      add(Kind::OPERATOR, std::string(known));
      return skip(known.size());
    }
    base::require(kOperators.find(c) != std::string_view::npos, "[chat template] line {}: \"{}\" is no token of Jinja",
                  line_, c);
    add(Kind::OPERATOR, std::string(1, c));
    skip(1);
  }

  void number() {
    std::size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() && std::isdigit(static_cast<unsigned char>(source_[end])) != 0) ++end;
    };
    digits();
    const bool fraction = end + 1 < source_.size() && source_[end] == '.' &&
                          std::isdigit(static_cast<unsigned char>(source_[end + 1])) != 0;
    if (fraction) {
      ++end;
      digits();
    }
    base::require(end - at_ <= 18, "[chat template] line {}: a number of at most 18 digits is required", line_);
    add(fraction ? Kind::FLOAT : Kind::INTEGER, std::string(source_.substr(at_, end - at_)));
    skip(end - at_);
  }

  void string(char quote) {
    const int first_line = line_;
    std::string text;
    std::size_t at = at_ + 1;
    for (; at < source_.size() && source_[at] != quote; ++at) {
      if (source_[at] != '\\' || at + 1 == source_.size()) {
        text += source_[at];
        continue;
      }
      const char escaped = source_[++at];
      switch (escaped) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case '\\':
        case '\'':
        case '"':
          text += escaped;
          break;
        case 'a':
          text += '\a';
          break;
        case 'b':
          text += '\b';
          break;
        case 'f':
          text += '\f';
          break;
        case 'v':
          text += '\v';
          break;
        default:
          base::require<base::Unsupported>(std::string_view("xuUN01234567").find(escaped) == std::string_view::npos,
                                           "[chat template] line {}: the escape \\{} in a string is not built yet",
                                           first_line, escaped);
          text += '\\'; // Python keeps what it does not know
          text += escaped;
      }
    }
    base::require(at < source_.size(), "[chat template] the string of line {} must end with {}", first_line, quote);
    tokens_.push_back({Kind::STRING, std::move(text), first_line});
    skip(at + 1 - at_);
  }

  std::string_view source_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

} // namespace

std::vector<Token> tokenize(std::string_view source) {
  std::string lines; // Jinja knows one kind of newline
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r')
      lines += source[i];
    else if (i + 1 == source.size() || source[i + 1] != '\n')
      lines += '\n';
  }
  return Lexer(lines).run();
}

} // namespace tessera::chat
