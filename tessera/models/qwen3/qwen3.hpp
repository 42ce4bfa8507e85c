#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Dense Qwen3 (transformers: Qwen3ForCausalLM): Llama with an RMS norm of each query and key head, and a head width
/// of its own.
nn::DecoderConfig configure_qwen3(const checkpoint::ConfigReader& config);

} // namespace tessera::models
