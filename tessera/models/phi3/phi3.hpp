#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Phi-3, Phi-3.5, Phi-4 and Phi-4-mini (transformers: Phi3ForCausalLM): Llama with Q, K and V in one projection, gate
/// and up in one, LongRoPE in the long variants, and a part of each head that does not turn in the latest.
nn::DecoderConfig configure_phi3(const checkpoint::ConfigReader& config);

} // namespace tessera::models
