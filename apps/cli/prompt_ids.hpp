#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::cli {

/// Token ids from "1,2,3", or from the file of "@FILE": integers separated by commas or white space. Throws
/// InvalidArgument for anything else and for no ids, IoError for a file that cannot be read.
std::vector<std::int32_t> parse_prompt_ids(const std::string& text_or_file);

} // namespace tessera::cli
