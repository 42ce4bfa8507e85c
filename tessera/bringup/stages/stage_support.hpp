#pragma once

#include "tessera/bringup/stage.hpp"
#include "tessera/generate/forward.hpp"

namespace tessera::bringup {

/// Positions of all texts: the unit of a stage's work.
std::int64_t text_positions(const StageContext& context);
/// Positions of all prompts and their continuations.
std::int64_t prompt_positions(const StageContext& context);

/// The reference's mean cross entropy of the texts' next ids, in nats.
struct TextLoss {
  double mean = 0.0;
  std::int64_t positions = 0; ///< 0: the texts are too short, or their logits are not known

  /// Better than the same probability for every token. Otherwise the best tokens are near ties, and agreement about
  /// them says nothing: random weights do this.
  bool better_than_guessing(std::int64_t vocab_size) const;
};

/// `advance` tells each text's positions as the stage's progress.
TextLoss reference_loss(const StageContext& context, bool advance);

/// A prompt, what the reference makes of it, and its logits there.
struct ForcedPrompt {
  std::size_t number = 0; // among the material's prompts
  Ids prompt;
  Ids continuation;
  Ids fed; // the prompt and the continuation less its last id
  const ReferenceOutput* expected = nullptr;
};

/// The prompts that the reference can continue; throws Skipped when there is none.
std::vector<ForcedPrompt> forced_prompts(const StageContext& context);

/// `generate::forward` on the device, or on another form of it, which counts as the stage's progress.
std::vector<generate::SequenceOutput> run_device(const StageContext& context, const std::vector<Ids>& sequences,
                                                 generate::ForwardOptions options, const std::string& doing);
std::vector<generate::SequenceOutput> run_on(nn::CausalLM& device, const StageContext& context,
                                             const std::vector<Ids>& sequences, generate::ForwardOptions options,
                                             const std::string& doing);

/// The device's modules that are tested: those outside the layers, and those of the first, middle and last layer or
/// all.
std::vector<std::string> chosen_modules(const StageContext& context);
std::vector<std::string> chosen_modules(const nn::CausalLM& model, bool all_layers);
/// "layers.3", not a module of it.
bool is_whole_layer(std::string_view module);
/// The first `users` sequences of [B, S] or [B, S, W], of each the first `positions` positions.
tensor::HostTensor corner(const tensor::HostTensor& tensor, std::int64_t users, std::int64_t positions);

/// Rows of an "embedding", "layers.N" series after which the first failure carries its own advice and the later ones
/// point at it.
void point_at_first_failure(std::vector<Row>& rows, std::string_view precision);

} // namespace tessera::bringup
