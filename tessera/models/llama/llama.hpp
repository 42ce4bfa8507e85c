#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Llama 1 to 3.3 (transformers: LlamaForCausalLM): optional biases, rotary scalings, tied or not.
nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config);

} // namespace tessera::models
