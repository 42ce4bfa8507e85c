#pragma once

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::models {

/// GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners"; transformers: GPT2LMHeadModel):
/// learned positions, layer norms, an MLP without a gate, projections stored as [in, out]. The keys of its own and the
/// common ones that GPT2Config takes in their place. Throws InvalidArgument for impossible values, Unsupported for
/// cross attention and for activations that are not built.
nn::DecoderConfig configure_gpt2(const checkpoint::ConfigReader& config);
nn::DecoderNames gpt2_names(const nn::DecoderConfig& decoder);

} // namespace tessera::models
