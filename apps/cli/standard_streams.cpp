#include "apps/cli/standard_streams.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "apps/cli/ranks.hpp"
#include "tessera/base/error.hpp"

namespace tessera::cli {

std::string read_standard_input() {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
  std::string text;
  char piece[65536];
  while (const std::size_t count = std::fread(piece, 1, sizeof piece, stdin)) {
    text.append(piece, count);
    base::require<base::IoError>(text.size() <= kMaxBytes, "[input] standard input may hold at most {} bytes",
                                 kMaxBytes);
  }
  base::require<base::IoError>(std::ferror(stdin) == 0, "[input] cannot read standard input: {}", std::strerror(errno));
  return text;
}

void write_standard_output(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  base::require<base::IoError>(written, "[output] cannot write to standard output: {}", std::strerror(errno));
}

void write_note(std::string_view line) {
  if (Ranks::is_first()) fmt::print(stderr, "{}\n", line);
}

} // namespace tessera::cli
