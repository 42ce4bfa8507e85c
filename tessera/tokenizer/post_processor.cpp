#include "tessera/tokenizer/post_processor.hpp"

#include <algorithm>
#include <utility>

#include "tessera/tokenizer/component_registry.hpp"

namespace tessera::tokenizer {
namespace {

class Sequence : public PostProcessor {
 public:
  explicit Sequence(const JsonNode& node) {
    for (const JsonNode& step : node["processors"].items()) {
      if (step.is_null()) step.fail("a post-processor");
      steps_.push_back(make_post_processor(step));
    }
  }
  void apply(std::vector<Encoding>& texts) const override {
    for (const auto& step : steps_) step->apply(texts);
  }
  std::vector<std::int32_t> added_ids() const override {
    std::vector<std::int32_t> all;
    for (const auto& step : steps_) {
      const std::vector<std::int32_t> ids = step->added_ids();
      all.insert(all.end(), ids.begin(), ids.end());
    }
    return all;
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

class ByteLevel : public PostProcessor {
 public:
  explicit ByteLevel(const JsonNode&) {}
  void apply(std::vector<Encoding>&) const override {}
  std::vector<std::int32_t> added_ids() const override { return {}; }
};

/// A part of a template: special tokens, or where a text goes.
struct TemplatePart {
  int text = -1; // 0: A, 1: B, -1: none
  std::int32_t type_id = 0;
  std::vector<std::int32_t> ids; // of special tokens
};
using Template = std::vector<TemplatePart>;

/// Puts texts into their places.
class Templates : public PostProcessor {
 public:
  void apply(std::vector<Encoding>& texts) const override {
    base::require(texts.size() == 1 || !pair_.empty(),
                  "[tokenizer] two texts need a tokenizer whose post-processor has a template for them; this one's has "
                  "none; give one text");
    Encoding joined;
    for (const TemplatePart& part : texts.size() == 1 ? single_ : pair_) {
      joined.append(
          Encoding::of(part.text < 0 ? part.ids : texts[static_cast<std::size_t>(part.text)].ids, part.type_id));
    }
    texts = {joined};
  }
  std::vector<std::int32_t> added_ids() const override {
    std::vector<std::int32_t> all;
    for (const Template* each : {&single_, &pair_}) {
      for (const TemplatePart& part : *each) all.insert(all.end(), part.ids.begin(), part.ids.end());
    }
    return all;
  }

 protected:
  Template single_;
  Template pair_; // empty: none
};

class TemplateProcessing : public Templates {
 public:
  explicit TemplateProcessing(const JsonNode& node) {
    const JsonNode special_tokens = node["special_tokens"];
    single_ = read(node["single"], special_tokens);
    for (const TemplatePart& part : single_) {
      if (part.text == 1) node["single"].fail("a template of the text A alone");
    }
    if (count(single_, 0) != 1) node["single"].fail("a template with the text A once");
    if (node["pair"].is_null()) return;
    pair_ = read(node["pair"], special_tokens);
    if (count(pair_, 0) != 1 || count(pair_, 1) != 1) pair_.clear(); // Hugging Face writes such for "no pairs"
  }

 private:
  static std::ptrdiff_t count(const Template& parts, int text) {
    return std::count_if(parts.begin(), parts.end(), [text](const TemplatePart& part) { return part.text == text; });
  }
  static std::int32_t type_id(const JsonNode& part) { return part["type_id"].is_null() ? 0 : part["type_id"].id(); }
  static Template read(const JsonNode& node, const JsonNode& special_tokens) {
    Template parts;
    for (const JsonNode& part : node.items()) {
      if (const JsonNode text = part["Sequence"]; !text.is_null()) {
        const std::string& name = text["id"].string();
        if (name != "A" && name != "B") text["id"].fail("A or B, the texts of a template");
        parts.push_back({.text = name == "A" ? 0 : 1, .type_id = type_id(text)});
        continue;
      }
      const JsonNode special = part["SpecialToken"];
      TemplatePart tokens{.type_id = type_id(special)};
      for (const JsonNode& id : special_tokens[special["id"].string()]["ids"].items()) tokens.ids.push_back(id.id());
      parts.push_back(std::move(tokens));
    }
    return parts;
  }
};

/// [CLS] A [SEP], and [CLS] A [SEP] B [SEP], of types 0 0 0 1 1.
class BertProcessing : public Templates {
 public:
  explicit BertProcessing(const JsonNode& node) {
    const auto token = [&node](const char* key, std::int32_t type_id) {
      const std::vector<JsonNode> pair = node[key].items();
      if (pair.size() != 2) node[key].fail("a token and its id");
      return TemplatePart{.type_id = type_id, .ids = {pair[1].id()}};
    };
    single_ = {token("cls", 0), {.text = 0}, token("sep", 0)};
    pair_ = single_;
    pair_.push_back({.text = 1, .type_id = 1});
    pair_.push_back(token("sep", 1));
  }
};

template <typename Type>
std::unique_ptr<PostProcessor> make(const JsonNode& node) {
  return std::make_unique<Type>(node);
}

constexpr KnownType<PostProcessor> kKnown[] = {
    {"Sequence", make<Sequence>},
    {"ByteLevel", make<ByteLevel>},
    {"TemplateProcessing", make<TemplateProcessing>},
    {"BertProcessing", make<BertProcessing>},
};

} // namespace

std::unique_ptr<PostProcessor> make_post_processor(const JsonNode& node) {
  return node.is_null() ? nullptr : make_component(kKnown, node);
}

} // namespace tessera::tokenizer
