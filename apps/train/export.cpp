#include "apps/train/export.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "apps/train/special_tokens.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::train {
namespace {

void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  base::write_file_atomically(path, json.dump(2) + "\n");
}

void write_weights(const std::filesystem::path& path, LanguageModel& model) {
  std::vector<at::Tensor> rounded; // keeps the bytes alive until they are written
  std::vector<checkpoint::OutputTensor> tensors;
  for (const reference::Parameter& parameter : model.parameters()) {
    const at::Tensor& data = rounded.emplace_back(parameter.tensor->detach().to(at::kBFloat16).contiguous());
    const auto* bytes = static_cast<const std::byte*>(data.data_ptr());
    tensors.push_back({parameter.name, checkpoint::StorageType::BF16, parameter.shape, {bytes, data.nbytes()}});
  }
  checkpoint::write_safetensors(path, tensors, {{"format", "pt"}});
}

} // namespace

nlohmann::json llama_config(const ModelOptions& options, std::int64_t vocabulary, std::int64_t begin_of_text,
                            std::int64_t end_of_text) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"bos_token_id", begin_of_text},
          {"eos_token_id", end_of_text},
          {"head_dim", options.hidden / options.query_heads},
          {"hidden_act", "silu"},
          {"hidden_size", options.hidden},
          {"initializer_range", 0.02},
          {"intermediate_size", options.mlp_hidden},
          {"max_position_embeddings", options.context},
          {"mlp_bias", false},
          {"model_type", "llama"},
          {"num_attention_heads", options.query_heads},
          {"num_hidden_layers", options.layers},
          {"num_key_value_heads", options.kv_heads},
          {"pretraining_tp", 1},
          {"rms_norm_eps", 1e-5},
          {"rope_scaling", nullptr},
          {"rope_theta", options.rope_theta},
          {"tie_word_embeddings", true},
          {"torch_dtype", "bfloat16"},
          {"transformers_version", "4.46.0"},
          {"use_cache", true},
          {"vocab_size", vocabulary}};
}

void round_to_bfloat16(LanguageModel& model) {
  const at::NoGradGuard guard;
  for (const reference::Parameter& parameter : model.parameters()) {
    parameter.tensor->copy_(parameter.tensor->to(at::kBFloat16));
  }
}

void write_checkpoint(const std::filesystem::path& folder, LanguageModel& model, const nlohmann::json& config,
                      const std::string& tokenizer_json) {
  write_weights(folder / "model.safetensors", model);
  write_json(folder / "config.json", config);
  write_json(folder / "generation_config.json", {{"_from_model_config", true},
                                                 {"bos_token_id", config.at("bos_token_id")},
                                                 {"eos_token_id", config.at("eos_token_id")},
                                                 {"transformers_version", config.at("transformers_version")}});
  base::write_file_atomically(folder / "tokenizer.json", tokenizer_json);
  write_json(folder / "tokenizer_config.json", {{"bos_token", kBeginOfText},
                                                {"eos_token", kEndOfText},
                                                {"clean_up_tokenization_spaces", false},
                                                {"model_max_length", config.at("max_position_embeddings")},
                                                {"tokenizer_class", "PreTrainedTokenizerFast"}});
}

} // namespace tessera::train
