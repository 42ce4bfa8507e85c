#pragma once

#include <string>

#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::cli {

/// The tokenizer of a folder, a tokenizer.json, or a Hugging Face name in the local cache. Throws as Tokenizer::load,
/// and IoError for a name that is not there.
tokenizer::Tokenizer load_tokenizer(const std::string& path_or_hub_name);

} // namespace tessera::cli
