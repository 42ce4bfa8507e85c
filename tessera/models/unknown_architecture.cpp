#include "tessera/models/unknown_architecture.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/models/family.hpp"

namespace tessera::models {
namespace {

constexpr std::size_t kNamesShown = 6;

/// Keys that say nothing about the arithmetic.
const std::set<std::string> kDescriptiveKeys = {
    "_name_or_path", "architectures",        "auto_map",   "attention_dropout", "bos_token_id",
    "eos_token_id",  "initializer_range",    "model_type", "pad_token_id",      "pretraining_tp",
    "torch_dtype",   "transformers_version", "use_cache"};

/// "model.layers.17.mlp.up_proj.weight" -> "model.layers.N.mlp.up_proj.weight": one name for all layers.
std::string without_numbers(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    const bool digit = '0' <= c && c <= '9';
    if (digit && pattern.ends_with('N')) continue;
    const bool begins_number = digit && (pattern.empty() || pattern.back() == '.');
    pattern += begins_number ? 'N' : c;
  }
  return pattern;
}

struct Difference {
  const Family* family = nullptr;
  std::string configuration_error; ///< why the family cannot read the configuration; empty if it can
  std::vector<std::string> unknown_keys;
  std::vector<std::string> missing_tensors;
  std::vector<std::string> other_tensors;

  std::size_t size() const {
    return (configuration_error.empty() ? 0 : 100) + unknown_keys.size() + missing_tensors.size() +
           other_tensors.size();
  }
};

Difference compare(const Family& family, const checkpoint::Checkpoint& checkpoint) {
  Difference difference{.family = &family};
  const checkpoint::ConfigReader config(checkpoint.config(), checkpoint.config_path().filename().string());
  std::set<std::string> expected;
  std::set<std::string> optional;
  try {
    const nn::DecoderConfig decoder = family.configure(config);
    for (const nn::TensorExpectation& tensor : nn::expected_tensors(decoder, family.names(decoder))) {
      (tensor.optional ? optional : expected).insert(without_numbers(tensor.name));
    }
  } catch (const base::Error& error) {
    difference.configuration_error = error.what();
  }
  for (const std::string& key : config.unknown_keys()) {
    if (!kDescriptiveKeys.contains(key)) difference.unknown_keys.push_back(key);
  }
  std::set<std::string> present;
  for (const std::string& name : checkpoint.tensor_names()) present.insert(without_numbers(name));
  if (present.empty() || expected.empty()) return difference;
  std::set_difference(expected.begin(), expected.end(), present.begin(), present.end(),
                      std::back_inserter(difference.missing_tensors));
  expected.merge(optional);
  std::set_difference(present.begin(), present.end(), expected.begin(), expected.end(),
                      std::back_inserter(difference.other_tensors));
  return difference;
}

std::string list(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kNamesShown);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

} // namespace

std::string describe_unknown_architecture(const std::string& architecture, const checkpoint::Checkpoint& checkpoint) {
  const checkpoint::ConfigReader config(checkpoint.config(), checkpoint.config_path().string());
  const std::string type = config.string_or("model_type", "");
  for (const ClassifierFamily& family : classifier_families()) {
    if (family.name == type)
      return fmt::format("[load] of {} checkpoints {} is built, a classifier; received {}", family.name,
                         family.architecture, architecture.empty() ? "none" : checkpoint::printable(architecture));
  }
  std::vector<std::string_view> known;
  std::optional<Difference> nearest;
  for (const Family& family : families()) {
    known.push_back(family.architecture);
    Difference difference = compare(family, checkpoint);
    if (!nearest || difference.size() < nearest->size()) nearest = std::move(difference);
  }
  std::string text = fmt::format(
      "[load] config.json's architectures must name one of {}; received {}; the nearest is {}", fmt::join(known, ", "),
      architecture.empty() ? "none" : checkpoint::printable(architecture), nearest->family->architecture);
  if (!nearest->configuration_error.empty())
    text += fmt::format("; it cannot read the configuration: {}", nearest->configuration_error);
  if (!nearest->unknown_keys.empty())
    text += fmt::format("; it does not know the keys {}", list(nearest->unknown_keys));
  if (!nearest->missing_tensors.empty())
    text += fmt::format("; it needs the tensors {}", list(nearest->missing_tensors));
  if (!nearest->other_tensors.empty())
    text += fmt::format("; it does not know the tensors {}", list(nearest->other_tensors));
  if (nearest->size() == 0)
    text += fmt::format("; nothing else differs: if this is such a model, name {} in config.json",
                        nearest->family->architecture);
  return text;
}

} // namespace tessera::models
