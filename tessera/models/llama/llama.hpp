#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Llama 1 to 3.3 (transformers: LlamaForCausalLM): optional biases, rotary scalings, tied or not. Also the models of
/// its architecture that go by names of their own (registry.cpp).
nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config);
/// InternLM: `bias` is that of all attention projections, and true where it is absent.
nn::DecoderConfig configure_internlm(const checkpoint::ConfigReader& config);
/// InternLM 3: `qkv_bias` is that of three projections, `bias` of all others.
nn::DecoderConfig configure_internlm3(const checkpoint::ConfigReader& config);

} // namespace tessera::models
