#include <algorithm>
#include <array>

#include "tessera/base/error.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/models/falcon/falcon.hpp"
#include "tessera/models/family.hpp"
#include "tessera/models/gemma/gemma.hpp"
#include "tessera/models/gpt2/gpt2.hpp"
#include "tessera/models/llama/llama.hpp"
#include "tessera/models/mistral/mistral.hpp"
#include "tessera/models/mixtral/mixtral.hpp"
#include "tessera/models/phi3/phi3.hpp"
#include "tessera/models/qwen2/qwen2.hpp"
#include "tessera/models/qwen3/qwen3.hpp"
#include "tessera/models/unknown_architecture.hpp"

namespace tessera::models {
namespace {

nn::DecoderNames llama_names(const nn::DecoderConfig&) {
  return {};
}

constexpr std::array kFamilies = {
    Family{"falcon", "FalconForCausalLM", configure_falcon, falcon_names},
    Family{"falcon", "RWForCausalLM", configure_falcon, falcon_names},
    Family{"gemma", "GemmaForCausalLM", configure_gemma, llama_names},
    Family{"gemma2", "Gemma2ForCausalLM", configure_gemma2, gemma2_names},
    Family{"gpt2", "GPT2LMHeadModel", configure_gpt2, gpt2_names},
    Family{"llama", "LlamaForCausalLM", configure_llama, llama_names},
    // The same model under other names, mostly from before its family was common.
    Family{"llama", "AquilaForCausalLM", configure_llama, llama_names},
    Family{"llama", "AquilaModel", configure_llama, llama_names},
    Family{"llama", "InternLMForCausalLM", configure_internlm, llama_names},
    Family{"llama", "InternLM3ForCausalLM", configure_internlm3, llama_names},
    Family{"llama", "LLaMAForCausalLM", configure_llama, llama_names},
    Family{"llama", "XverseForCausalLM", configure_llama, llama_names},
    Family{"mistral", "MistralForCausalLM", configure_mistral, llama_names},
    Family{"mixtral", "MixtralForCausalLM", configure_mixtral, llama_names},
    Family{"phi3", "Phi3ForCausalLM", configure_phi3, llama_names},
    Family{"qwen2", "Qwen2ForCausalLM", configure_qwen2, llama_names},
    Family{"qwen3", "Qwen3ForCausalLM", configure_qwen3, llama_names},
};

} // namespace

std::span<const Family> families() {
  return kFamilies;
}

const Family& family_of(const checkpoint::Checkpoint& checkpoint) {
  const checkpoint::ConfigReader config(checkpoint.config(), checkpoint.config_path().string());
  const std::vector<std::string> architectures = config.strings("architectures");
  base::require<base::Unsupported>(classifier_family_of(checkpoint) == nullptr,
                                   "[model] a language model is required; {} is a classifier, for classify, forward, "
                                   "bench and bringup; received {}",
                                   architectures.empty() ? "it" : architectures.front(),
                                   checkpoint.config_path().string());
  const std::string architecture = architectures.empty() ? "" : architectures.front();
  const std::string type = config.string_or("model_type", "");
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& candidate) {
    return architectures.empty() ? candidate.name == type : candidate.architecture == architecture;
  });
  if (family == kFamilies.end()) throw base::Unsupported(describe_unknown_architecture(architecture, checkpoint));
  return *family;
}

nn::DecoderNames names_in(const checkpoint::Checkpoint& checkpoint, const nn::DecoderConfig& decoder) {
  nn::DecoderNames names = family_of(checkpoint).names(decoder);
  if (!checkpoint.has_weights() || checkpoint.contains(names.embedding + ".weight")) return names;
  const auto bare = [](const std::string& name) { return name.substr(name.find('.') + 1); };
  if (!checkpoint.contains(bare(names.embedding) + ".weight")) return names;
  for (std::string* name : {&names.embedding, &names.position_embedding, &names.final_norm, &names.layer})
    *name = bare(*name);
  return names;
}

} // namespace tessera::models
