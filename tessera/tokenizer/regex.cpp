#include "tessera/tokenizer/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <new>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

constexpr std::string_view kSpaceSet = R"(\x{9}-\x{d}\x{85}\p{Z})";
constexpr std::string_view kWordSet = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// Steps that one search may take: PCRE2's own default, plus room for linear scans of long texts.
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKib = 64 * 1024;

struct MatchDataFree {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct MatchContextFree {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct CompileContextFree {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) return fmt::format("PCRE2 error {}", code);
  return reinterpret_cast<const char*>(text);
}

[[noreturn]] void fail_search(std::string_view pattern, int code, std::size_t from, std::size_t text_bytes) {
  throw base::InvalidArgument(
      fmt::format("[tokenizer] a pattern must match in a bounded number of steps; received {}, which gives \"{}\" from "
                  "byte {} of a text of {} bytes; use a pattern without nested repetition",
                  quote(pattern), pcre2_message(code), from, text_bytes));
}

} // namespace

std::string translate_pattern(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      const std::string_view set = next == 's' || next == 'S' ? kSpaceSet : kWordSet;
      const bool positive = next == 's' || next == 'w';
      if (positive && in_class) {
        out += set;
      } else if (!in_class && (positive || next == 'S' || next == 'W')) {
        out += fmt::format("[{}{}]", positive ? "" : "^", set);
      } else {
        out += {c, next};
      }
      continue;
    }
    if (in_class && pattern.substr(i, 2) == "[:") { // a POSIX class such as [:alpha:], which ends with its own bracket
      const std::size_t end = std::min(pattern.find(":]", i), pattern.size() - 2);
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
      continue;
    }
    if (in_class && (c == '[' || pattern.substr(i, 2) == "&&")) {
      throw base::Unsupported(
          fmt::format("[tokenizer] a character class must be flat, without nested classes or &&; "
                      "received {}; write the class out",
                      quote(pattern)));
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

Regex::Regex(std::string_view pattern) : pattern_(pattern) {
  const std::string translated = translate_pattern(pattern);
  const std::unique_ptr<pcre2_compile_context, CompileContextFree> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // MULTILINE: `^` and `$` always mean lines in Ruby's syntax. NEVER_BACKSLASH_C: a match may not cut a character.
  const std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error,
                                   &where, context.get());
  base::require(code != nullptr,
                "[tokenizer] a pattern must be a valid regular expression; received {}, and \"{}\" near its byte {}; "
                "fix the file",
                quote(pattern), pcre2_message(error), where);
  code_ =
      std::shared_ptr<const pcre2_code>(code, [](const pcre2_code* c) { pcre2_code_free(const_cast<pcre2_code*>(c)); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); // faster where the machine allows it; the interpreter serves otherwise
}

std::vector<Range> Regex::find_all(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, MatchDataFree> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, MatchContextFree> context(pcre2_match_context_create(nullptr));
  if (!data || !context) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);

  std::vector<Range> matches;
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t last_end = kNone;
  for (std::size_t from = 0; from <= text.size();) {
    const auto search = [&](std::uint32_t options) {
      return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                         options | PCRE2_NO_UTF_CHECK, data.get(), context.get());
    };
    int rc = search(0);
    // The compiled matcher has a small fixed stack; the interpreter takes its memory from the heap.
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = search(PCRE2_NO_JIT);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) fail_search(pattern_, rc, from, text.size());
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    const Range match{found[0], found[1]};
    if (match.begin == match.end && match.end == last_end) {
      from += from < text.size() ? utf8_length(text[from]) : 1;
      continue;
    }
    matches.push_back(match);
    from = last_end = match.end;
  }
  return matches;
}

} // namespace tessera::tokenizer
