#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Qwen2 and Qwen2.5 (transformers: Qwen2ForCausalLM): Llama with biases on Q, K and V.
nn::DecoderConfig configure_qwen2(const checkpoint::ConfigReader& config);

} // namespace tessera::models
