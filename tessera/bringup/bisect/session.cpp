#include "tessera/bringup/bisect/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "tessera/base/error.hpp"
#include "tessera/bringup/teacher_forcing.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup::bisect {
namespace {

/// The first text and all others of its length: [B, S] needs one length.
std::vector<Ids> equally_long(const std::vector<Ids>& texts) {
  base::require(!texts.empty() && texts.front().size() >= 2,
                "[bisect] a text of two tokens or more is required; received {}",
                texts.empty() ? "none" : "a shorter one");
  std::vector<Ids> equal;
  for (const Ids& text : texts) {
    if (text.size() == texts.front().size()) equal.push_back(text);
  }
  return equal;
}

/// Even values in -1.7..1.7: of the variance 1, and the same with every standard library.
HostTensor even_values(const Shape& shape) {
  std::mt19937_64 random(1);
  HostTensor tensor{shape, std::vector<float>(static_cast<std::size_t>(shape.volume()))};
  for (float& value : tensor.data) {
    value = static_cast<float>((static_cast<double>(random() >> 11) * 0x1p-52 - 1.0) * 1.7320508075688772);
  }
  return tensor;
}

/// The reference's logits on the texts, as they lie here.
class KnownLogits : public Reference {
 public:
  /// `logits` [B, S, V] of B texts.
  KnownLogits(const std::vector<Ids>& texts, const HostTensor& logits) {
    const std::size_t values = logits.data.size() / texts.size();
    const Shape shape{logits.shape[1], logits.shape[2]};
    for (std::size_t text = 0; text < texts.size(); ++text) {
      const auto first = logits.data.begin() + static_cast<std::ptrdiff_t>(text * values);
      outputs_[texts[text]].logits = {shape, {first, first + static_cast<std::ptrdiff_t>(values)}};
    }
  }

  std::string description() const override { return "the reference"; }
  std::optional<nn::CausalLMInfo> info() override { return std::nullopt; }
  const ModuleCase* module_case(const std::string&) override { return nullptr; }
  const ReferenceOutput* sequence(const Ids& ids) override {
    const auto known = outputs_.find(ids);
    return known == outputs_.end() ? nullptr : &known->second;
  }
  std::optional<Ids> continuation(const Ids&, std::int64_t) override { return std::nullopt; }

 private:
  std::map<Ids, ReferenceOutput> outputs_;
};

} // namespace

Session::Session(const Inputs& inputs, const Options& options)
    : inputs_(inputs), options_(options), texts_(equally_long(inputs.texts)), ids_(ids_tensor(texts_)) {
  const nn::CausalLMInfo& device = inputs.device.info();
  const nn::CausalLMInfo& reference = inputs.reference.info();
  base::require(device.layers == reference.layers && device.hidden_size == reference.hidden_size &&
                    device.vocab_size == reference.vocab_size,
                "[bisect] the device and the reference must be one model; received {} layers of {} and {} of {}, "
                "vocabularies of {} and {}",
                device.layers, device.hidden_size, reference.layers, reference.hidden_size, device.vocab_size,
                reference.vocab_size);
  base::require(ids_.shape[1] <= device.context,
                "[bisect] texts must fit the context of {}; received {} tokens; shorten them or raise --context",
                device.context, ids_.shape[1]);
  const RunModule run = modules_of(inputs.reference);
  form_ = find_layer_form(inputs.reference, run("embedding", ids_));
  const auto names = static_cast<std::int64_t>(modules_of_layer(0, form_).size());
  plan(layers() * names + 3);
  const RunModule watched = [&](const std::string& module, const HostTensor& x) {
    advance(1, "reference: " + module);
    return run(module, x);
  };
  logits_ = run_chain(tracing(watched, reference_), layers(), form_, ids_);
  require_finite_logits(logits_, "bisect");
  add_whole_layers();
  if (reference.rope) add_rope();
}

void Session::add_whole_layers() {
  const auto input_of = [&](std::int64_t layer) -> const HostTensor& {
    return reference_.at(layer < layers() ? fmt::format("layers.{}.input_norm", layer) : "final_norm").input;
  };
  for (std::int64_t layer = 0; layer < layers(); ++layer) {
    reference_[fmt::format("layers.{}", layer)] = {input_of(layer), input_of(layer + 1)};
  }
}

void Session::add_rope() {
  // The query heads are inside the attention; turning them does not depend on what they hold.
  const HostTensor heads = even_values({ids_.shape[0], ids_.shape[1], inputs_.reference.info().attention_width});
  for (std::int64_t layer = 0; layer < layers(); ++layer) {
    const std::string name = fmt::format("layers.{}.rope", layer);
    reference_[name] = {heads, inputs_.reference.run_module(name, heads, nn::Phase::PREFILL)};
  }
}

double Session::full_limit() const {
  // float32 leaves the order of additions, some 1e-6; the card's matrix unit reads 11 bits of it at most.
  return options_.numerics == "exact" ? 2e-2 : 3e-3;
}

Agreement Session::judge(const HostTensor& logits) const {
  return metrics::compare_logits(logits_.data, logits.data, static_cast<std::size_t>(logits_.shape[-1]));
}

Agreement Session::force(nn::CausalLM& device, std::int64_t runs, const std::string& doing) {
  KnownLogits reference(texts_, logits_);
  std::int64_t told = 0;
  const auto progress = [&](std::int64_t done, std::int64_t total) {
    const std::int64_t now = runs * done / std::max<std::int64_t>(total, 1);
    advance(now - told, doing);
    told = now;
  };
  return teacher_force(device, reference, texts_, {.prefill_positions = 0, .progress = progress}).agreement;
}

void Session::advance(std::int64_t runs, const std::string& doing) {
  done_ += runs;
  planned_ = std::max(planned_, done_);
  if (!options_.progress) return;
  Progress now{.doing = doing, .fraction = static_cast<double>(done_) / static_cast<double>(planned_)};
  if (done_ > 0) {
    const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    now.seconds_left = elapsed * static_cast<double>(planned_ - done_) / static_cast<double>(done_);
  }
  options_.progress(now);
}

} // namespace tessera::bringup::bisect
