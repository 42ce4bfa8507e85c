#pragma once

#include <string>
#include <string_view>

namespace tessera::cli {

/// All of standard input. Throws IoError above 1 GB or when it cannot be read.
std::string read_standard_input();

/// Writes to standard output and flushes it. Throws IoError when nobody takes it: a closed pipe, a full disk.
void write_standard_output(std::string_view text);

/// Writes a line to standard error; of several ranks, the first alone does.
void write_note(std::string_view line);

} // namespace tessera::cli
