#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::chat {

/// A piece of a template's source. TEXT is printed as it stands; the tags are delimiters around the tokens of an
/// expression or a statement.
struct Token {
  enum class Kind { TEXT, PRINT_BEGIN, PRINT_END, BLOCK_BEGIN, BLOCK_END, NAME, STRING, INTEGER, FLOAT, OPERATOR, END };
  Kind kind = Kind::END;
  std::string text; ///< the string without its quotes and escapes, else as written
  int line = 1;
};

/// Cuts a template into tokens as Jinja does with trim_blocks and lstrip_blocks, which is how transformers runs chat
/// templates: the newline behind a block tag, and the blanks before one that begins its line, are not printed. Ends
/// with END. Throws InvalidArgument, naming the line, for what is no template.
std::vector<Token> tokenize(std::string_view source);

} // namespace tessera::chat
