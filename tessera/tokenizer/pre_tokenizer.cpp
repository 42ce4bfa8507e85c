#include "tessera/tokenizer/pre_tokenizer.hpp"

#include <optional>
#include <utility>

#include "tessera/tokenizer/byte_alphabet.hpp"
#include "tessera/tokenizer/component_registry.hpp"
#include "tessera/tokenizer/metaspace.hpp"
#include "tessera/tokenizer/pattern.hpp"
#include "tessera/tokenizer/split.hpp"
#include "tessera/tokenizer/unicode.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

// openai/gpt-2, encoder.py.
constexpr std::string_view kGpt2Pattern = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Replaces each piece by its parts: `cut(text)` returns their ranges.
template <typename Cut>
void cut_pieces(std::vector<Piece>& pieces, Cut cut) {
  std::vector<Piece> out;
  out.reserve(pieces.size());
  for (Piece& piece : pieces) {
    const std::vector<Range> parts = cut(std::string_view(piece.text));
    if (parts.size() == 1 && parts[0].end - parts[0].begin == piece.text.size()) {
      out.push_back(std::move(piece));
      continue;
    }
    for (const auto& [begin, end] : parts) {
      out.push_back({piece.text.substr(begin, end - begin), piece.at_text_start && begin == 0});
    }
  }
  pieces = std::move(out);
}

// Each character with the property is a match of its own.
template <typename Property>
std::vector<Range> characters_with(std::string_view text, Property property) {
  std::vector<Range> matches;
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t begin = pos;
    if (property(next_char(text, pos))) matches.push_back({begin, pos});
  }
  return matches;
}

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(const JsonNode& node) {
    for (const JsonNode& step : node["pretokenizers"].items()) {
      if (step.is_null()) step.fail("a pre-tokenizer");
      steps_.push_back(make_pre_tokenizer(step));
    }
  }
  void apply(std::vector<Piece>& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

class ByteLevel : public PreTokenizer {
 public:
  explicit ByteLevel(const JsonNode& node) : add_prefix_space_(node["add_prefix_space"].boolean_or(true)) {
    if (node["use_regex"].boolean_or(true)) regex_.emplace(kGpt2Pattern);
  }
  void apply(std::vector<Piece>& pieces) const override {
    for (Piece& piece : pieces) {
      if (add_prefix_space_ && !piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
    }
    if (regex_) {
      cut_pieces(pieces, [&](std::string_view text) {
        return split(text.size(), regex_->find_all(text), SplitBehavior::ISOLATED);
      });
    }
    for (Piece& piece : pieces) piece.text = ByteAlphabet::instance().encode(piece.text);
  }

 private:
  bool add_prefix_space_;
  std::optional<Regex> regex_;
};

class Split : public PreTokenizer {
 public:
  explicit Split(const JsonNode& node)
      : pattern_(node["pattern"]),
        behavior_(split_behavior(node["behavior"])),
        invert_(node["invert"].boolean_or(false)) {}
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces,
               [&](std::string_view text) { return split(text.size(), pattern_.find_all(text), behavior_, invert_); });
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(const JsonNode& node)
      : behavior_(node["individual_digits"].boolean_or(false) ? SplitBehavior::ISOLATED : SplitBehavior::CONTIGUOUS) {}
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces,
               [&](std::string_view text) { return split(text.size(), characters_with(text, is_numeric), behavior_); });
  }

 private:
  SplitBehavior behavior_;
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(const JsonNode& node) {
    if (!node["behavior"].is_null()) behavior_ = split_behavior(node["behavior"]);
  }
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces, [&](std::string_view text) {
      return split(text.size(), characters_with(text, is_punctuation), behavior_);
    });
  }

 private:
  SplitBehavior behavior_ = SplitBehavior::ISOLATED;
};

class MetaspacePieces : public PreTokenizer {
 public:
  explicit MetaspacePieces(const JsonNode& node) : rules_(node) {}
  void apply(std::vector<Piece>& pieces) const override {
    for (Piece& piece : pieces) mark_spaces(piece);
    if (!rules_.split) return;
    cut_pieces(pieces, [&](std::string_view text) {
      std::size_t pos = 0;
      const char32_t mark = next_char(rules_.replacement, pos);
      return split(text.size(), characters_with(text, [&](char32_t c) { return c == mark; }),
                   SplitBehavior::MERGED_WITH_NEXT);
    });
  }

 private:
  void mark_spaces(Piece& piece) const {
    std::string out;
    for (const char c : piece.text) {
      if (c == ' ') {
        out += rules_.replacement;
      } else {
        out += c;
      }
    }
    const bool wanted = rules_.prepend == Metaspace::Prepend::ALWAYS ||
                        (rules_.prepend == Metaspace::Prepend::FIRST && piece.at_text_start);
    if (wanted && !out.starts_with(rules_.replacement)) out.insert(0, rules_.replacement);
    piece.text = std::move(out);
  }

  Metaspace rules_;
};

// Words and runs of other characters, without the space between them: the expression \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  explicit Whitespace(const JsonNode&) {}
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces, [](std::string_view text) {
      std::vector<Range> parts;
      int last_kind = kSpace;
      for (std::size_t pos = 0; pos < text.size();) {
        const std::size_t begin = pos;
        const char32_t c = next_char(text, pos);
        const int kind = is_word(c) ? kWord : is_whitespace(c) ? kSpace : kOther;
        if (kind != kSpace && kind == last_kind) {
          parts.back().end = pos;
        } else if (kind != kSpace) {
          parts.push_back({begin, pos});
        }
        last_kind = kind;
      }
      return parts;
    });
  }

 private:
  enum Kind { kSpace, kWord, kOther };
};

class WhitespaceSplit : public PreTokenizer {
 public:
  explicit WhitespaceSplit(const JsonNode&) {}
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces, [](std::string_view text) {
      return split(text.size(), characters_with(text, is_whitespace), SplitBehavior::REMOVED);
    });
  }
};

// Words without the space between them, each punctuation character by itself.
class BertPreTokenizer : public PreTokenizer {
 public:
  explicit BertPreTokenizer(const JsonNode&) {}
  void apply(std::vector<Piece>& pieces) const override {
    cut_pieces(pieces, [](std::string_view text) {
      return split(text.size(), characters_with(text, is_whitespace), SplitBehavior::REMOVED);
    });
    cut_pieces(pieces, [](std::string_view text) {
      return split(text.size(), characters_with(text, is_punctuation), SplitBehavior::ISOLATED);
    });
  }
};

template <typename Type>
std::unique_ptr<PreTokenizer> make(const JsonNode& node) {
  return std::make_unique<Type>(node);
}

constexpr KnownType<PreTokenizer> kKnown[] = {
    {"Sequence", make<Sequence>},
    {"ByteLevel", make<ByteLevel>},
    {"Split", make<Split>},
    {"Digits", make<Digits>},
    {"Punctuation", make<Punctuation>},
    {"Metaspace", make<MetaspacePieces>},
    {"Whitespace", make<Whitespace>},
    {"WhitespaceSplit", make<WhitespaceSplit>},
    {"BertPreTokenizer", make<BertPreTokenizer>},
};

} // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonNode& node) {
  return node.is_null() ? nullptr : make_component(kKnown, node);
}

} // namespace tessera::tokenizer
