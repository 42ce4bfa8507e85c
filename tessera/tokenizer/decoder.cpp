#include "tessera/tokenizer/decoder.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "tessera/tokenizer/byte_alphabet.hpp"
#include "tessera/tokenizer/component_registry.hpp"
#include "tessera/tokenizer/metaspace.hpp"
#include "tessera/tokenizer/pattern.hpp"
#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD"; // U+FFFD
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";        // U+FEFF

// Gives each step its clone().
template <typename Step>
class Cloneable : public DecoderStep {
 public:
  std::unique_ptr<DecoderStep> clone() const override {
    return std::make_unique<Step>(static_cast<const Step&>(*this));
  }
};

class ByteLevel : public Cloneable<ByteLevel> {
 public:
  explicit ByteLevel(const JsonNode&) {}
  void push(std::string token, Tokens& out) override {
    // A token outside the byte alphabet, such as an added token with a space in it, stands for its own bytes.
    out.push_back(text_.push(ByteAlphabet::instance().decode(token).value_or(token)));
  }
  void finish(Tokens& out) override { out.push_back(text_.finish()); }

 private:
  LossyUtf8 text_;
};

class Replace : public Cloneable<Replace> {
 public:
  explicit Replace(const JsonNode& node) : pattern_(node["pattern"]), content_(node["content"].string()) {}
  void push(std::string token, Tokens& out) override { out.push_back(pattern_.replace_all(token, content_)); }

 private:
  Pattern pattern_;
  std::string content_;
};

// The byte of a token such as "<0x0A>".
std::optional<char> byte_of(std::string_view token) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const int high = digit(token[3]);
  const int low = digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

// A run of byte tokens is text when all of it is valid UTF-8; otherwise each byte is one U+FFFD. So a run is certain
// only at its end. A byte order mark that begins a run is dropped: the golden data want it so (they come from the
// JavaScript tokenizers, whose TextDecoder does that; the Rust ones keep it). It matters only to vocabularies that have
// no token for U+FEFF.
class ByteFallback : public Cloneable<ByteFallback> {
 public:
  explicit ByteFallback(const JsonNode&) {}
  void push(std::string token, Tokens& out) override {
    if (const auto byte = byte_of(token)) {
      run_.push_back(*byte);
      return;
    }
    finish(out);
    out.push_back(std::move(token));
  }
  void finish(Tokens& out) override {
    if (find_invalid_utf8(run_) == std::string_view::npos) {
      if (run_.starts_with(kByteOrderMark)) run_.erase(0, kByteOrderMark.size());
      if (!run_.empty()) out.push_back(run_);
    } else {
      out.insert(out.end(), run_.size(), std::string(kReplacementCharacter));
    }
    run_.clear();
  }

 private:
  std::string run_;
};

// Removes up to `start` leading and `stop` trailing characters `content`.
struct StripRule {
  explicit StripRule(const JsonNode& node) {
    append_utf8(content, node["content"].character());
    start = static_cast<std::size_t>(node["start"].id());
    stop = static_cast<std::size_t>(node["stop"].id());
  }
  std::string content;
  std::size_t start;
  std::size_t stop;
};

class StripTokens : public Cloneable<StripTokens> {
 public:
  explicit StripTokens(StripRule rule) : rule_(std::move(rule)) {}
  void push(std::string token, Tokens& out) override {
    std::string_view rest = token;
    for (std::size_t i = 0; i < rule_.start && rest.starts_with(rule_.content); ++i)
      rest.remove_prefix(rule_.content.size());
    for (std::size_t i = 0; i < rule_.stop && rest.ends_with(rule_.content); ++i)
      rest.remove_suffix(rule_.content.size());
    out.emplace_back(rest);
  }

 private:
  StripRule rule_;
};

// StripTokens where all that comes in is one token: strips the beginning and the end of the stream.
class StripStream : public Cloneable<StripStream> {
 public:
  explicit StripStream(StripRule rule) : rule_(std::move(rule)), left_to_strip_(rule_.start) {}
  void push(std::string part, Tokens& out) override {
    std::string_view rest = part;
    while (left_to_strip_ > 0 && rest.starts_with(rule_.content)) {
      rest.remove_prefix(rule_.content.size());
      --left_to_strip_;
    }
    if (rest.empty()) return;
    left_to_strip_ = 0;
    held_.append(rest);
    std::size_t trailing = 0; // content characters at the end, which may turn out to be the last ones
    std::string_view certain = held_;
    for (; trailing < rule_.stop && certain.ends_with(rule_.content); ++trailing)
      certain.remove_suffix(rule_.content.size());
    out.emplace_back(certain);
    held_.erase(0, certain.size());
  }
  // What is held is what `stop` takes away.
  void finish(Tokens&) override { held_.clear(); }

 private:
  StripRule rule_;
  std::size_t left_to_strip_;
  std::string held_;
};

class MetaspaceText : public Cloneable<MetaspaceText> {
 public:
  explicit MetaspaceText(const JsonNode& node) : rules_(node) {}
  void push(std::string token, Tokens& out) override {
    // The first token's marks came from the prefix, unless none was added.
    const std::string_view space = first_ && rules_.prepend != Metaspace::Prepend::NEVER ? "" : " ";
    first_ = false;
    std::string text;
    for (std::size_t pos = 0; pos < token.size();) {
      const std::string_view character = std::string_view(token).substr(pos, utf8_length(token[pos]));
      text += character == rules_.replacement ? space : character;
      pos += character.size();
    }
    out.push_back(std::move(text));
  }

 private:
  Metaspace rules_;
  bool first_ = true;
};

// Words apart by a space, the tokens inside a word without their prefix; then, token by token, the spaces that English
// does not write.
class WordPiece : public Cloneable<WordPiece> {
 public:
  explicit WordPiece(const JsonNode& node) : cleanup_(node["cleanup"].boolean_or(true)) {
    if (const JsonNode prefix = node["prefix"]; !prefix.is_null()) prefix_ = prefix.string();
  }
  void push(std::string token, Tokens& out) override {
    if (!first_) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token.insert(0, 1, ' ');
      }
    }
    first_ = false;
    if (cleanup_) clean(token);
    out.push_back(std::move(token));
  }

 private:
  /// In this order, as Hugging Face does.
  static void clean(std::string& token) {
    constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kReplacements) {
      for (std::size_t at = token.find(from); at != std::string::npos; at = token.find(from, at + to.size()))
        token.replace(at, from.size(), to);
    }
  }

  std::string prefix_ = "##";
  bool cleanup_;
  bool first_ = true;
};

class JoinBySpace : public Cloneable<JoinBySpace> {
 public:
  void push(std::string token, Tokens& out) override {
    out.push_back(first_ ? std::move(token) : " " + token);
    first_ = false;
  }

 private:
  bool first_ = true;
};

// Gathers all into one token, for a step that looks at the whole text.
class Gather : public Cloneable<Gather> {
 public:
  void push(std::string token, Tokens&) override { all_ += token; }
  void finish(Tokens& out) override { out.push_back(std::exchange(all_, {})); }

 private:
  std::string all_;
};

struct Chain {
  std::vector<std::unique_ptr<DecoderStep>> steps;
  // Set behind Fuse and ByteLevel: to the next step the whole stream is one token. Fuse itself is no step then, what
  // follows decides whether it can work on the parts as they come.
  bool is_one_token = false;
};

void append_step(Chain& chain, const JsonNode& node);

// The known types; the registry's table needs a product, so each adds its step to the chain by way of a Builder.
struct Builder {
  void (*append)(Chain& chain, const JsonNode& node);
};

template <typename Step>
void append_plain(Chain& chain, const JsonNode& node) {
  if (chain.is_one_token) chain.steps.push_back(std::make_unique<Gather>());
  chain.steps.push_back(std::make_unique<Step>(node));
}

void append_byte_level(Chain& chain, const JsonNode& node) {
  append_plain<ByteLevel>(chain, node);
  chain.is_one_token = true;
}

void append_fuse(Chain& chain, const JsonNode&) {
  chain.is_one_token = true;
}

void append_strip(Chain& chain, const JsonNode& node) {
  if (chain.is_one_token) {
    chain.steps.push_back(std::make_unique<StripStream>(StripRule(node)));
  } else {
    chain.steps.push_back(std::make_unique<StripTokens>(StripRule(node)));
  }
}

void append_sequence(Chain& chain, const JsonNode& node) {
  for (const JsonNode& step : node["decoders"].items()) append_step(chain, step);
}

template <void (*Append)(Chain&, const JsonNode&)>
std::unique_ptr<Builder> builder(const JsonNode&) {
  return std::make_unique<Builder>(Builder{Append});
}

constexpr KnownType<Builder> kKnown[] = {
    {"Sequence", builder<append_sequence>},
    {"ByteLevel", builder<append_byte_level>},
    {"Replace", builder<append_plain<Replace>>},
    {"ByteFallback", builder<append_plain<ByteFallback>>},
    {"Fuse", builder<append_fuse>},
    {"Strip", builder<append_strip>},
    {"Metaspace", builder<append_plain<MetaspaceText>>},
    {"WordPiece", builder<append_plain<WordPiece>>},
};

void append_step(Chain& chain, const JsonNode& node) {
  make_component(kKnown, node)->append(chain, node);
}

} // namespace

Decoder::Decoder(const JsonNode& node) {
  if (node.is_null()) {
    steps_.push_back(std::make_unique<JoinBySpace>());
    return;
  }
  Chain chain;
  append_step(chain, node);
  steps_ = std::move(chain.steps);
}

Decoder::Decoder(const Decoder& other) {
  for (const auto& step : other.steps_) steps_.push_back(step->clone());
}

std::string Decoder::run(std::vector<std::string> tokens, std::size_t from) {
  for (std::size_t i = from; i < steps_.size(); ++i) {
    std::vector<std::string> out;
    for (std::string& token : tokens) steps_[i]->push(std::move(token), out);
    tokens = std::move(out);
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

std::string Decoder::push(std::string token) {
  return run({std::move(token)}, 0);
}

std::string Decoder::finish() {
  std::string text;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    std::vector<std::string> held;
    steps_[i]->finish(held);
    text += run(std::move(held), i + 1);
  }
  return text;
}

} // namespace tessera::tokenizer
