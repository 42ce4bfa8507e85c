#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "apps/train/language_model.hpp"

namespace tessera::train {

/// The size of the model to train.
struct ModelOptions {
  std::int64_t hidden = 256;
  std::int64_t layers = 4;
  std::int64_t query_heads = 8;
  std::int64_t kv_heads = 4;
  std::int64_t mlp_hidden = 704;
  std::int64_t context = 512;
  double rope_theta = 10000.0;
};

/// The config.json of a LlamaForCausalLM with tied embeddings, as transformers writes it.
nlohmann::json llama_config(const ModelOptions& options, std::int64_t vocabulary, std::int64_t begin_of_text,
                            std::int64_t end_of_text);

/// Rounds every weight to the nearest bfloat16 in place, so that what is measured is what is saved.
void round_to_bfloat16(LanguageModel& model);

/// Writes a Hugging Face folder: model.safetensors (BF16), config.json, generation_config.json, tokenizer.json and
/// tokenizer_config.json. Each file appears whole or not at all. Throws IoError.
void write_checkpoint(const std::filesystem::path& folder, LanguageModel& model, const nlohmann::json& config,
                      const std::string& tokenizer_json);

} // namespace tessera::train
