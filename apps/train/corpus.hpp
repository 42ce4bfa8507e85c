#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera::train {

/// One book, its last chapter set apart.
struct Book {
  std::filesystem::path path;
  std::string training; // everything before the last chapter's heading
  std::string held_out; // the last chapter, its heading included
};

/// Reads every .txt file of `folder`, in the order of their names. Throws IoError when there is none, InvalidArgument
/// when a book has fewer than two chapters. A chapter's heading is a line "CHAPTER XII. ..." or "24.  ...".
std::vector<Book> read_books(const std::filesystem::path& folder);

} // namespace tessera::train
