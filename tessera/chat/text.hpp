#pragma once

#include <string>
#include <string_view>
#include <vector>

// Python's functions on strings, of which case and blanks are ASCII's. Private to this folder.

namespace tessera::chat {

inline constexpr std::string_view kBlanks = " \t\n\r\v\f";

/// Without the characters of `set` at its ends.
std::string stripped(std::string_view text, std::string_view set, bool left, bool right);
std::string in_upper_case(std::string text);
std::string in_lower_case(std::string text);
/// The first letter in upper case, the others in lower.
std::string capitalized(std::string text);
/// The first letter of each word in upper case, the others in lower.
std::string in_title_case(std::string text);
/// All of `from`, which is not empty, as `to`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);
/// The parts between `separator`, `most` of which count; an empty one: runs of blanks.
std::vector<std::string> split(std::string_view text, std::string_view separator, std::size_t most);
/// The characters of UTF-8.
std::vector<std::string> characters(std::string_view text);

} // namespace tessera::chat
