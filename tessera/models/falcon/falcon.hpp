#pragma once

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::models {

/// Falcon (Almazrouei et al., "The Falcon Series of Open Language Models") as transformers' FalconConfig has it, with
/// its defaults and in both spellings of its keys: the 7B's architecture, the new one of 40B, 180B and Falcon 2, and
/// the sequential one of Falcon-RW, with ALiBi. Throws InvalidArgument for impossible values, Unsupported for
/// activations that are not built.
nn::DecoderConfig configure_falcon(const checkpoint::ConfigReader& config);
/// The names depend on the norms that the layers have.
nn::DecoderNames falcon_names(const nn::DecoderConfig& decoder);

} // namespace tessera::models
