#pragma once

#include "tessera/models/family.hpp"

namespace tessera::models {

/// Gemma (transformers: GemmaForCausalLM): Llama with scaled embeddings, norms stored as 1 + w, and GeGLU by tanh.
nn::DecoderConfig configure_gemma(const checkpoint::ConfigReader& config);
/// Gemma 2 (Gemma2ForCausalLM): besides, norms of the outputs of attention and MLP, windows in every other layer, and
/// soft caps on scores and logits.
nn::DecoderConfig configure_gemma2(const checkpoint::ConfigReader& config);
nn::DecoderNames gemma2_names(const nn::DecoderConfig& decoder);

} // namespace tessera::models
