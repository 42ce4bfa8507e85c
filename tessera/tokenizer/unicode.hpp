#pragma once

namespace tessera::tokenizer {

/// Unicode property White_Space, as Rust's `char::is_whitespace`.
bool is_whitespace(char32_t c) noexcept;
/// General category N (Nd, Nl, No), as Rust's `char::is_numeric`.
bool is_numeric(char32_t c) noexcept;
/// ASCII punctuation (symbols such as `$` too) or general category P.
bool is_punctuation(char32_t c) noexcept;
/// What `\w` means to Rust's regex crate: Alphabetic, M, Nd, Pc, Join_Control (UTS 18 annex C).
bool is_word(char32_t c) noexcept;
/// General categories Cc, Cf, Co.
bool is_control(char32_t c) noexcept;
/// General category Mn.
bool is_nonspacing_mark(char32_t c) noexcept;

} // namespace tessera::tokenizer
