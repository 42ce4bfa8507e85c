#pragma once

namespace tessera::train {

/// Llama 3's names. The first stands before every text; the second ends one.
inline constexpr const char* kBeginOfText = "<|begin_of_text|>";
inline constexpr const char* kEndOfText = "<|end_of_text|>";

} // namespace tessera::train
