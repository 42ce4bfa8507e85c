#include "apps/train/corpus.hpp"

#include <algorithm>
#include <regex>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::train {
namespace {

/// Offset of the last chapter's heading. The table of contents also lists it, but earlier.
std::size_t last_chapter(const std::string& text, const std::filesystem::path& path) {
  static const std::regex heading(R"((CHAPTER [IVXLC]+\.|[0-9]+\.  ).*)");
  std::size_t found = 0, count = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (std::regex_match(text.begin() + static_cast<std::ptrdiff_t>(begin),
                         text.begin() + static_cast<std::ptrdiff_t>(end), heading)) {
      found = begin;
      ++count;
    }
    begin = end + 1;
  }
  base::require(count >= 2,
                "[train] a book must have at least two chapters headed \"CHAPTER I.\" or \"1.  \"; {} has {}; take it "
                "out of the folder or mark its chapters",
                path.string(), count);
  return found;
}

} // namespace

std::vector<Book> read_books(const std::filesystem::path& folder) {
  base::require<base::IoError>(std::filesystem::is_directory(folder),
                               "[train] --data must be a folder with .txt files; received {}; check the path",
                               folder.string());
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  base::require<base::IoError>(!paths.empty(), "[train] --data must hold .txt files; {} has none; check the path",
                               folder.string());
  std::sort(paths.begin(), paths.end());
  std::vector<Book> books;
  for (const auto& path : paths) {
    const std::string text = base::read_file(path);
    const std::size_t split = last_chapter(text, path);
    books.push_back({path, text.substr(0, split), text.substr(split)});
  }
  return books;
}

} // namespace tessera::train
