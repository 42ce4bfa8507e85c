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
  bool may_be_absent = false;      // then it is zeros, as transformers initialises it: the bias of a norm
};

/// A family's names of weights, without ".weight" and ".bias". Empty: the family has none.
struct WeightNames {
  std::string embedding;
  std::string layers; // followed by the layer's number, a point and one of the names below
  std::string input_norm;
  std::string post_attention_norm;
  std::string q;
  std::string k;
  std::string v;
  std::string qkv;
  std::string o;
  std::string gate;
  std::string up;
  std::string down;
  std::string final_norm;
  std::string lm_head;
};
WeightNames weight_names(const DecoderDescription& model);

/// The weights outside the layers.
struct OuterWeights {
  at::Tensor embedding; // [V, E]
  NormWeights final_norm;
  at::Tensor lm_head; // [V, E]; the embedding itself in a tied model
};

/// Names and shapes of layer `layer`'s weights; biases only where the model has them.
std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights);
/// Names and shapes of the outer weights; no lm_head in a tied model.
std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights);

} // namespace tessera::reference
