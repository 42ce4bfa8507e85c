#pragma once

#include <vector>

#include "tessera/chat/lexer.hpp"
#include "tessera/chat/program.hpp"

namespace tessera::chat {

/// Reads tokens one after another. Private to this folder.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  Token next();
  int line() const { return peek().line; }
  bool is_operator(const char* text) const { return is(Token::Kind::OPERATOR, text); }
  bool is_name(const char* text) const { return is(Token::Kind::NAME, text); }
  /// Takes the token if it is that.
  bool take_operator(const char* text);
  bool take_name(const char* text);
  /// Throw InvalidArgument, naming the line, unless the next token is that.
  void expect_operator(const char* text);
  void expect_name(const char* text);
  void expect(Token::Kind kind, const char* what);
  std::string expect_any_name();

 private:
  bool is(Token::Kind kind, const char* text) const { return peek().kind == kind && peek().text == text; }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Parses one expression, as Jinja's grammar has it. `conditional`: whether `a if b else c` may stand at its top.
/// Throws InvalidArgument for what is no expression, Unsupported for filters and tests that are not built, both naming
/// the line.
Expression parse_expression(TokenReader& tokens, bool conditional = true);

/// Arguments in parentheses, the opening one taken already.
struct ParsedArguments {
  std::vector<Expression> positional;
  std::vector<std::pair<std::string, Expression>> named;

  Arguments evaluate(Scope& scope) const;
  /// Of `named`.
  std::vector<std::string> names() const;
};
ParsedArguments parse_arguments(TokenReader& tokens);

} // namespace tessera::chat
