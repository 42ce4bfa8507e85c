#include "tessera/chat/text.hpp"

#include <algorithm>
#include <cctype>

#include "tessera/base/error.hpp"

namespace tessera::chat {
namespace {

char upper(char c) {
  return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
}
char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

} // namespace

std::string stripped(std::string_view text, std::string_view set, bool left, bool right) {
  while (left && !text.empty() && set.find(text.front()) != std::string_view::npos) text.remove_prefix(1);
  while (right && !text.empty() && set.find(text.back()) != std::string_view::npos) text.remove_suffix(1);
  return std::string(text);
}

std::string in_upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), upper);
  return text;
}

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), lower);
  return text;
}

std::string capitalized(std::string text) {
  text = in_lower_case(std::move(text));
  if (!text.empty()) text.front() = upper(text.front());
  return text;
}

std::string in_title_case(std::string text) {
  bool within = false;
  for (char& c : text) {
    const bool letter = std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (letter) c = within ? lower(c) : upper(c);
    within = letter;
  }
  return text;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  base::require(!from.empty(), "[chat template] replace needs something to be replaced; received an empty string");
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(from, at);
    result += text.substr(at, found - at);
    if (found == std::string_view::npos) return result;
    result += to;
    at = found + from.size();
  }
}

std::vector<std::string> split(std::string_view text, std::string_view separator, std::size_t most) {
  std::vector<std::string> parts;
  if (!separator.empty()) {
    std::size_t at = 0;
    for (std::size_t found; parts.size() < most && (found = text.find(separator, at)) != std::string_view::npos;) {
      parts.emplace_back(text.substr(at, found - at));
      at = found + separator.size();
    }
    parts.emplace_back(text.substr(at));
    return parts;
  }
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) return parts;
    const std::size_t end = parts.size() < most ? std::min(text.find_first_of(kBlanks), text.size()) : text.size();
    parts.emplace_back(parts.size() < most ? std::string(text.substr(0, end)) : stripped(text, kBlanks, false, true));
    text.remove_prefix(end);
  }
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> all;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
    if (!continues || all.empty()) all.emplace_back();
    all.back() += c;
  }
  return all;
}

} // namespace tessera::chat
