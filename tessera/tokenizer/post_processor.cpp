#include "tessera/tokenizer/post_processor.hpp"

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
  void apply(std::vector<std::int32_t>& ids) const override {
    for (const auto& step : steps_) step->apply(ids);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

class ByteLevel : public PostProcessor {
 public:
  explicit ByteLevel(const JsonNode&) {}
  void apply(std::vector<std::int32_t>&) const override {}
};

// The template for a single text; that for a pair is not used here.
class TemplateProcessing : public PostProcessor {
 public:
  explicit TemplateProcessing(const JsonNode& node) {
    const JsonNode special_tokens = node["special_tokens"];
    std::size_t texts = 0;
    for (const JsonNode& part : node["single"].items()) {
      if (const JsonNode text = part["Sequence"]; !text.is_null()) {
        if (text["id"].string() != "A") text["id"].fail("A, the only text of a single template");
        std::swap(before_, after_); // what was collected so far stands before the text
        ++texts;
      } else {
        const JsonNode name = part["SpecialToken"]["id"];
        for (const JsonNode& id : special_tokens[name.string()]["ids"].items()) after_.push_back(id.id());
      }
    }
    if (texts != 1) node["single"].fail("a template with the text A once");
  }
  void apply(std::vector<std::int32_t>& ids) const override {
    ids.insert(ids.begin(), before_.begin(), before_.end());
    ids.insert(ids.end(), after_.begin(), after_.end());
  }

 private:
  std::vector<std::int32_t> before_;
  std::vector<std::int32_t> after_;
};

template <typename Type>
std::unique_ptr<PostProcessor> make(const JsonNode& node) {
  return std::make_unique<Type>(node);
}

constexpr KnownType<PostProcessor> kKnown[] = {
    {"Sequence", make<Sequence>},
    {"ByteLevel", make<ByteLevel>},
    {"TemplateProcessing", make<TemplateProcessing>},
};

} // namespace

std::unique_ptr<PostProcessor> make_post_processor(const JsonNode& node) {
  return node.is_null() ? nullptr : make_component(kKnown, node);
}

} // namespace tessera::tokenizer
