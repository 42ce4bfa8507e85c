#include "apps/cli/prompt_ids.hpp"

#include <charconv>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {

std::vector<std::int32_t> parse_prompt_ids(const std::string& text_or_file) {
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  const bool is_file = text_or_file.starts_with('@');
  const std::string text = is_file ? base::read_file(text_or_file.substr(1), kMaxBytes) : text_or_file;
  constexpr const char* kSeparators = ", \t\r\n";
  std::vector<std::int32_t> ids;
  for (std::size_t begin = text.find_first_not_of(kSeparators); begin != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    std::int32_t id = -1;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, id);
    base::require(error == std::errc() && stop == text.data() + end && id >= 0,
                  "[prompt] token ids must be integers such as 1,2,3; received \"{}\"",
                  checkpoint::printable(std::string_view(text).substr(begin, end - begin)));
    ids.push_back(id);
    begin = text.find_first_not_of(kSeparators, end);
  }
  base::require(!ids.empty(), "[prompt] at least one token id is required; received none");
  return ids;
}

} // namespace tessera::cli
