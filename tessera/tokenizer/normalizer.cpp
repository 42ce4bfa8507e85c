#include "tessera/tokenizer/normalizer.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>
#include <vector>

#include "tessera/tokenizer/component_registry.hpp"
#include "tessera/tokenizer/pattern.hpp"
#include "tessera/tokenizer/unicode.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

class Sequence : public Normalizer {
 public:
  explicit Sequence(const JsonNode& node) {
    for (const JsonNode& step : node["normalizers"].items()) {
      if (step.is_null()) step.fail("a normalizer");
      steps_.push_back(make_normalizer(step));
    }
  }
  void apply(std::string& text) const override {
    for (const auto& step : steps_) step->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(const JsonNode& node) : prefix_(node["prepend"].string()) {}
  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  explicit Replace(const JsonNode& node) : pattern_(node["pattern"]), content_(node["content"].string()) {}
  void apply(std::string& text) const override { text = pattern_.replace_all(text, content_); }

 private:
  Pattern pattern_;
  std::string content_;
};

/// `text` with each character replaced by what `rewrite(character, out)` appends.
template <typename Rewrite>
void rewrite_characters(std::string& text, Rewrite rewrite) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t pos = 0; pos < text.size();) rewrite(next_char(text, pos), out);
  text = std::move(out);
}

void to_unicode_form(std::string& text, int options) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  base::require(size >= 0,
                "[tokenizer] a text must have a Unicode normalization form; utf8proc says \"{}\" for {} "
                "bytes; shorten the text",
                size < 0 ? utf8proc_errmsg(size) : "", text.size());
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> holder(mapped, &std::free);
  text.assign(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

void to_lower_case(std::string& text) {
  rewrite_characters(text, [](char32_t c, std::string& out) {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    // U+0130 is the one character whose unconditional lower case is two (SpecialCasing.txt).
    if (c == 0x130) append_utf8(out, 0x307);
  });
}

// The four normalization forms of Unicode Standard Annex 15.
template <int Options>
class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(const JsonNode&) {}
  void apply(std::string& text) const override { to_unicode_form(text, Options); }
};
using Nfc = UnicodeForm<UTF8PROC_COMPOSE>;
using Nfd = UnicodeForm<UTF8PROC_DECOMPOSE>;
using Nfkc = UnicodeForm<UTF8PROC_COMPOSE | UTF8PROC_COMPAT>;
using Nfkd = UnicodeForm<UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT>;

class Lowercase : public Normalizer {
 public:
  explicit Lowercase(const JsonNode&) {}
  void apply(std::string& text) const override { to_lower_case(text); }
};

// BERT's: control characters go, all space is the same, ideographs stand alone, accents and capitals go.
class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const JsonNode& node)
      : clean_text_(node["clean_text"].boolean_or(true)),
        handle_chinese_chars_(node["handle_chinese_chars"].boolean_or(true)),
        lowercase_(node["lowercase"].boolean_or(true)),
        strip_accents_(node["strip_accents"].boolean_or(lowercase_)) {}
  void apply(std::string& text) const override {
    if (clean_text_) clean(text);
    if (handle_chinese_chars_) isolate_ideographs(text);
    if (strip_accents_) strip_accents(text);
    if (lowercase_) to_lower_case(text);
  }

 private:
  static void clean(std::string& text) {
    rewrite_characters(text, [](char32_t c, std::string& out) {
      const bool is_space = c == '\t' || c == '\n' || c == '\r';
      if (!is_space && (c == 0xFFFD || is_control(c))) return;
      append_utf8(out, is_whitespace(c) ? U' ' : c);
    });
  }
  static void isolate_ideographs(std::string& text) {
    rewrite_characters(text, [](char32_t c, std::string& out) {
      const bool alone = is_ideograph(c);
      if (alone) out += ' ';
      append_utf8(out, c);
      if (alone) out += ' ';
    });
  }
  static void strip_accents(std::string& text) {
    to_unicode_form(text, UTF8PROC_DECOMPOSE);
    rewrite_characters(text, [](char32_t c, std::string& out) {
      if (!is_nonspacing_mark(c)) append_utf8(out, c);
    });
  }
  /// The blocks of CJK ideographs as Hugging Face tokenizers have them: its extension E begins at U+2B920, Unicode's at
  /// U+2B820.
  static bool is_ideograph(char32_t c) {
    constexpr std::pair<char32_t, char32_t> kBlocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                                         {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                                         {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                       [c](const auto& block) { return block.first <= c && c <= block.second; });
  }

  bool clean_text_;
  bool handle_chinese_chars_;
  bool lowercase_;
  bool strip_accents_;
};

class Strip : public Normalizer {
 public:
  explicit Strip(const JsonNode& node)
      : left_(node["strip_left"].boolean_or(true)), right_(node["strip_right"].boolean_or(true)) {}
  void apply(std::string& text) const override {
    std::size_t begin = std::string::npos; // of the first character that stays
    std::size_t end = 0;                   // behind the last one
    for (std::size_t pos = 0; pos < text.size();) {
      const std::size_t start = pos;
      if (is_whitespace(next_char(text, pos))) continue;
      begin = std::min(begin, start);
      end = pos;
    }
    if (begin == std::string::npos) { // nothing but space
      if (left_ || right_) text.clear();
      return;
    }
    if (right_) text.resize(end);
    if (left_) text.erase(0, begin);
  }

 private:
  bool left_;
  bool right_;
};

template <typename Type>
std::unique_ptr<Normalizer> make(const JsonNode& node) {
  return std::make_unique<Type>(node);
}

constexpr KnownType<Normalizer> kKnown[] = {
    {"Sequence", make<Sequence>}, {"Prepend", make<Prepend>},
    {"Replace", make<Replace>},   {"NFC", make<Nfc>},
    {"NFD", make<Nfd>},           {"NFKC", make<Nfkc>},
    {"NFKD", make<Nfkd>},         {"Lowercase", make<Lowercase>},
    {"Strip", make<Strip>},       {"BertNormalizer", make<BertNormalizer>},
};

} // namespace

std::unique_ptr<Normalizer> make_normalizer(const JsonNode& node) {
  return node.is_null() ? nullptr : make_component(kKnown, node);
}

} // namespace tessera::tokenizer
