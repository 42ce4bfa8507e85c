#include <algorithm>
#include <array>

#include "tessera/base/error.hpp"
#include "tessera/models/falcon/falcon.hpp"
#include "tessera/models/family.hpp"
#include "tessera/models/llama/llama.hpp"
#include "tessera/models/mistral/mistral.hpp"
#include "tessera/models/qwen2/qwen2.hpp"
#include "tessera/models/unknown_architecture.hpp"

namespace tessera::models {
namespace {

nn::DecoderNames llama_names(const nn::DecoderConfig&) {
  return {};
}

constexpr std::array kFamilies = {
    Family{"falcon", "FalconForCausalLM", configure_falcon, falcon_names},
    Family{"llama", "LlamaForCausalLM", configure_llama, llama_names},
    Family{"mistral", "MistralForCausalLM", configure_mistral, llama_names},
    Family{"qwen2", "Qwen2ForCausalLM", configure_qwen2, llama_names},
};

} // namespace

std::span<const Family> families() {
  return kFamilies;
}

const Family& family_of(const checkpoint::Checkpoint& checkpoint) {
  const checkpoint::ConfigReader config(checkpoint.config(), checkpoint.config_path().string());
  const std::vector<std::string> architectures = config.strings("architectures");
  const std::string architecture = architectures.empty() ? "" : architectures.front();
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(),
                                   [&](const Family& candidate) { return candidate.architecture == architecture; });
  if (family == kFamilies.end()) throw base::Unsupported(describe_unknown_architecture(architecture, checkpoint));
  return *family;
}

} // namespace tessera::models
