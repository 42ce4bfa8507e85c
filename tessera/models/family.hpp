#pragma once

#include <span>
#include <string_view>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::models {

/// How a family of published checkpoints becomes a decoder of ours.
struct Family {
  std::string_view name;         ///< "llama"
  std::string_view architecture; ///< config.json's architectures entry: "LlamaForCausalLM"
  /// Throws InvalidArgument or Unsupported for a configuration that is impossible or not built.
  nn::DecoderConfig (*configure)(const checkpoint::ConfigReader& config);
  nn::DecoderNames (*names)(const nn::DecoderConfig& decoder);
};

/// All families, in alphabetical order, a line for each architecture. A new one adds its folder and its line in
/// registry.cpp.
std::span<const Family> families();

/// The family of a config.json, by `architectures`. Throws Unsupported for an unknown one, naming the known, the
/// nearest and what differs from it.
const Family& family_of(const checkpoint::Checkpoint& checkpoint);

/// The names of a checkpoint's tensors. Files of a model without its LM head leave out the first part, "model." or
/// "transformer.", as transformers allows.
nn::DecoderNames names_in(const checkpoint::Checkpoint& checkpoint, const nn::DecoderConfig& decoder);

} // namespace tessera::models
