#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Mistral 7B and its kin (transformers: MistralForCausalLM): Llama with a sliding window in every layer.
nn::DecoderConfig configure_mistral(const checkpoint::ConfigReader& config);

} // namespace tessera::models
