#pragma once

#include <filesystem>
#include <map>

#include "tessera/bringup/reference.hpp"

namespace tessera::bringup {

/// A baseline made elsewhere: a safetensors file whose tensors are named as follows, integers of any width, the rest
/// floating point. All are optional but `input_ids` and `logits`.
///
/// - `input_ids` [B, S], `logits` [B, S, V]; `hidden_states.0` .. `hidden_states.L` [B, S, E]: the input of layer 0,
/// the
///   outputs of the layers (before the final norm); `final_norm` [B, S, E].
/// - `model.layers.<n>.input_layernorm`, `.self_attn`, `.post_attention_layernorm`, `.mlp` [B, S, E]: module outputs.
///   Falcon's: `transformer.h.<n>.ln_attn` (or `.input_layernorm`), `.self_attention`, `.ln_mlp` (or
///   `.post_attention_layernorm`), `.mlp`. Gemma 2's with `.pre_feedforward_layernorm` and
///   `.post_feedforward_layernorm`; Mixtral's with `.block_sparse_moe`; GPT-2's: `transformer.h.<n>.ln_1`, `.attn`,
///   `.ln_2`, `.mlp`.
/// - `gen_prompt_ids` [B, P], `gen_ids` [B, G], `gen_logits` [B, G', V]: prompts, their greedy continuations and the
///   logits from which those were taken; or `promptN.prompt_ids` [P], `promptN.gen_ids` [G], `promptN.gen_logits` [G',
///   V].
/// - `long_input_ids` [B, S], `long_logits` [B, n, V]: a longer text and the logits of its last n positions.
class FileReference : public Reference {
 public:
  /// Reads the file whole. Throws IoError for a damaged file, InvalidArgument for tensors that are missing, have the
  /// wrong shape or do not fit each other.
  explicit FileReference(const std::filesystem::path& path);

  /// The texts and prompts that the file has results for.
  const Material& material() const { return material_; }

  std::string description() const override { return description_; }
  std::optional<nn::CausalLMInfo> info() override { return std::nullopt; }
  const ModuleCase* module_case(const std::string& module) override;
  const ReferenceOutput* sequence(const Ids& ids) override;
  std::optional<Ids> continuation(const Ids& prompt, std::int64_t tokens) override;

 private:
  std::string description_;
  Material material_;
  std::map<std::string, ModuleCase> module_cases_;
  std::map<Ids, ReferenceOutput> sequences_;
  std::map<Ids, Ids> continuations_;
};

} // namespace tessera::bringup
