#include "apps/train/corpus.hpp"

#include <algorithm>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::train {
namespace {

/// Whether `line` reads "CHAPTER XII. ..." or "24.  ...".
bool is_heading(std::string_view line) {
  constexpr std::string_view kChapter = "CHAPTER ";
  const bool named = line.starts_with(kChapter);
  if (named) line.remove_prefix(kChapter.size());
  const std::size_t digits = line.find_first_not_of(named ? "IVXLC" : "0123456789");
  if (digits == 0 || digits == std::string_view::npos) return false;
  return line.substr(digits).starts_with(named ? "." : ".  ");
}

/// Offset of the last chapter's heading. The table of contents also lists it, but earlier.
std::size_t last_chapter(const std::string& text, const std::filesystem::path& path) {
  std::size_t found = 0, count = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (is_heading(std::string_view(text).substr(begin, end - begin))) {
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
