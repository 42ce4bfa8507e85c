#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Llama 1 to 3.3 (transformers: LlamaForCausalLM): optional biases, rotary scalings, tied or not. Also the models of
/// its architecture that go by names of their own (registry.cpp): InternLM's biases have keys of theirs.
nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config);

} // namespace tessera::models
