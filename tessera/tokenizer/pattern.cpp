#include "tessera/tokenizer/pattern.hpp"

namespace tessera::tokenizer {

Pattern::Pattern(const JsonNode& node) {
  const JsonNode literal = node["String"];
  const JsonNode regex = node["Regex"];
  if (literal.is_null() == regex.is_null()) node.fail("an object with either String or Regex");
  if (regex.is_null()) {
    literal_ = literal.string();
    if (literal_.empty()) literal.fail("a string that is not empty");
  } else {
    regex_.emplace(regex.string());
  }
}

std::vector<Range> Pattern::find_all(std::string_view text) const {
  if (regex_) return regex_->find_all(text);
  std::vector<Range> matches;
  for (std::size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    matches.push_back({at, at + literal_.size()});
  }
  return matches;
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::string out;
  std::size_t copied = 0;
  for (const Range& match : find_all(text)) {
    out.append(text.substr(copied, match.begin - copied)).append(content);
    copied = match.end;
  }
  return out.append(text.substr(copied));
}

} // namespace tessera::tokenizer
