#pragma once

#include <string>
#include <vector>

#include "tessera/reference/decoder_math.hpp"

namespace tessera::reference {

/// A weight's published name, its shape and where the decoder keeps it.
struct Parameter {
  std::string name;                // "model.layers.3.mlp.up_proj.weight"
  std::vector<std::int64_t> shape; // linear weights [N, K]
  at::Tensor* tensor;              // never null; owned by the caller's structure
};

/// The weights outside the layers.
struct OuterWeights {
  at::Tensor embedding;  // [V, E]
  at::Tensor final_norm; // [E]
  at::Tensor lm_head;    // [V, E]; the embedding itself in a tied model
};

/// Names and shapes of layer `layer`'s weights; biases only where the model has them.
std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights);
/// Names and shapes of the outer weights; no lm_head in a tied model.
std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights);

} // namespace tessera::reference
