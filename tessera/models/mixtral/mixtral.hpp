#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Mixtral 8x7B, 8x22B and their kin (transformers: MixtralForCausalLM): Mistral with a mixture of experts.
nn::DecoderConfig configure_mixtral(const checkpoint::ConfigReader& config);

} // namespace tessera::models
