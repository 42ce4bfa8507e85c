#include "tessera/bringup/live_reference.hpp"

#include <cmath>
#include <random>

#include "tessera/base/error.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/generate/generator.hpp"

namespace tessera::bringup {
namespace {

using tensor::HostTensor;

constexpr const char* kLogits = "logits";

std::string state_name(std::size_t index) {
  return fmt::format("hidden_states.{}", index);
}

/// The name of the norm whose output is the input of `module`; empty when there is none.
std::string norm_before(const std::string& module, const nn::CausalLMInfo& info) {
  const auto with_end = [&](std::string_view end, std::string_view replacement) {
    return module.substr(0, module.size() - end.size()) + std::string(replacement);
  };
  if (module.ends_with(".attention")) return with_end("attention", "input_norm");
  if (module.ends_with(".mlp")) return with_end("mlp", info.mlp_norm ? "post_attention_norm" : "input_norm");
  return module == "lm_head" ? "final_norm" : "";
}

/// Layer number of "layers.3.mlp"; nothing for modules outside the layers.
std::optional<std::int64_t> layer_of(const std::string& module) {
  if (!module.starts_with("layers.")) return std::nullopt;
  return std::stoll(module.substr(7));
}

/// Normal values by Box and Muller (1958): the standard library's own distribution differs between libraries, and with
/// it the cached results.
HostTensor normal(const Shape& shape, double spread, std::mt19937_64& random) {
  HostTensor tensor{shape, std::vector<float>(static_cast<std::size_t>(shape.volume()))};
  for (float& value : tensor.data) {
    const double u = (static_cast<double>(random() >> 11) + 1.0) * 0x1p-53; // (0, 1]
    const double v = static_cast<double>(random() >> 11) * 0x1p-53;
    value = static_cast<float>(spread * std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return tensor;
}

} // namespace

LiveReference::LiveReference(Open open, ResultCache cache, std::vector<Ids> texts, LiveReferenceOptions options)
    : open_(std::move(open)), cache_(std::move(cache)), texts_(std::move(texts)), options_(std::move(options)) {
  base::require(!texts_.empty() && !texts_.front().empty(), "[bringup] a text is needed; received none");
}

nn::CausalLM& LiveReference::model() {
  if (!model_) model_ = open_();
  return *model_;
}

std::optional<nn::CausalLMInfo> LiveReference::info() {
  const TensorMap result = cache_.get("facts of the model", [&] {
    const nn::CausalLMInfo& info = model().info();
    HostTensor sizes{{7}, {}};
    for (const std::int64_t size :
         {info.layers, info.hidden_size, info.vocab_size, info.attention_width, std::int64_t{info.mlp_norm},
          std::int64_t{info.output_norms}, std::int64_t{info.rope}}) {
      sizes.data.push_back(static_cast<float>(size));
    }
    return TensorMap{{"sizes", sizes}};
  });
  const auto size = [&](std::size_t i) { return static_cast<std::int64_t>(result.at("sizes").data.at(i)); };
  nn::CausalLMInfo info;
  info.layers = size(0);
  info.hidden_size = size(1);
  info.vocab_size = size(2);
  info.attention_width = size(3);
  info.mlp_norm = size(4) != 0;
  info.output_norms = size(5) != 0;
  info.rope = size(6) != 0;
  return info;
}

double LiveReference::spread(std::int64_t index) {
  double sum = 0.0;
  const HostTensor& state = sequence(texts_.front())->hidden_states.at(static_cast<std::size_t>(index));
  for (const float value : state.data) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(state.data.size()));
}

HostTensor LiveReference::random_ids(const nn::CausalLMInfo& info) {
  std::mt19937_64 random(options_.seed);
  HostTensor ids{{options_.module_users, options_.module_positions}, {}};
  for (std::int64_t i = 0; i < ids.shape.volume(); ++i) {
    ids.data.push_back(static_cast<float>(random() % static_cast<std::uint64_t>(info.vocab_size)));
  }
  ids.data.front() = 0.0F; // the table's first and last row belong to any test of it
  ids.data.back() = static_cast<float>(info.vocab_size - 1);
  return ids;
}

HostTensor LiveReference::module_input(const std::string& module, const nn::CausalLMInfo& info) {
  if (module == "embedding") return random_ids(info);
  const std::string norm = norm_before(module, info);
  if (!norm.empty()) return module_case(norm)->expected;
  std::mt19937_64 random(options_.seed + std::stoull(hash_of(module), nullptr, 16));
  const bool rope = module.ends_with(".rope");
  const std::int64_t width = rope ? info.attention_width : info.hidden_size;
  const double scale = rope ? 1.0 : spread(layer_of(module).value_or(info.layers));
  return normal({options_.module_users, options_.module_positions, width}, scale, random);
}

const ModuleCase* LiveReference::module_case(const std::string& module) {
  if (const auto known = module_cases_.find(module); known != module_cases_.end()) return &known->second;
  const std::string key = fmt::format("module {} users {} positions {} seed {} text {}", module, options_.module_users,
                                      options_.module_positions, options_.seed, hash_of(ids_text(texts_.front())));
  TensorMap result = cache_.get(key, [&] {
    HostTensor input = module_input(module, *info());
    HostTensor expected = model().run_module(module, input, nn::Phase::PREFILL);
    return TensorMap{{"input", std::move(input)}, {"expected", std::move(expected)}};
  });
  const ModuleCase found{std::move(result.at("input")), std::move(result.at("expected"))};
  return &module_cases_.emplace(module, found).first->second;
}

const ReferenceOutput* LiveReference::sequence(const Ids& ids) {
  if (const auto known = sequences_.find(ids); known != sequences_.end()) return &known->second;
  TensorMap result = cache_.get("sequence " + ids_text(ids), [&] {
    nn::HiddenStates states;
    TensorMap tensors{{kLogits, model().prefill(0, ids, nn::LogitsRows::ALL, &states)}};
    for (std::size_t i = 0; i < states.size(); ++i) tensors[state_name(i)] = std::move(states[i]);
    return tensors;
  });
  ReferenceOutput& output = sequences_[ids];
  output.logits = std::move(result.at(kLogits));
  for (std::size_t i = 0; result.contains(state_name(i)); ++i) {
    output.hidden_states.push_back(std::move(result.at(state_name(i))));
  }
  return &output;
}

std::optional<Ids> LiveReference::continuation(const Ids& prompt, std::int64_t tokens) {
  const TensorMap result = cache_.get(fmt::format("continuation {} of {}", tokens, ids_text(prompt)), [&] {
    const generate::Request request{.prompt_ids = prompt, .max_tokens = tokens};
    const Ids ids = generate::generate(model(), std::span(&request, 1)).front().ids;
    // Ids are below 2^24 in every known vocabulary: exact as float.
    return TensorMap{{"gen_ids", {{static_cast<std::int64_t>(ids.size())}, {ids.begin(), ids.end()}}}};
  });
  const std::vector<float>& ids = result.at("gen_ids").data;
  return Ids(ids.begin(), ids.end());
}

} // namespace tessera::bringup
