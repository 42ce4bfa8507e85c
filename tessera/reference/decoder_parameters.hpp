#pragma once

#include <string>
#include <vector>

#include "tessera/reference/decoder_math.hpp"

namespace tessera::reference {

/// A weight's published name, its shape and where the decoder keeps it.
struct Parameter {
  std::string name;                // "model.layers.3.mlp.up_proj.weight"
  std::vector<std::int64_t> shape; // in the file; linear weights [N, K], or [K, N] where the model stores them so
  at::Tensor* tensor;              // never null; owned by the caller's structure
  bool may_be_absent = false;      // then it is zeros, as transformers initialises it: the bias of a norm
  bool transposed = false;         // the file's rows are the decoder's columns
};

/// A family's names of weights, without ".weight" and ".bias". Empty: the family has none.
struct WeightNames {
  std::string embedding;
  std::string positions;
  std::string layers; // followed by the layer's number, a point and one of the names below
  std::string input_norm;
  std::string post_attention_norm;
  std::string q;
  std::string k;
  std::string v;
  std::string qkv;
  std::string q_norm;
  std::string k_norm;
  std::string o;
  std::string gate;
  std::string up;
  std::string gate_up;
  std::string down;
  std::string router;
  std::string experts; // followed by the expert's number and ".w1" (gate), ".w3" (up) or ".w2" (down)
  std::string attention_output_norm;
  std::string mlp_output_norm;
  std::string final_norm;
  std::string lm_head;
};
WeightNames weight_names(const DecoderDescription& model);

/// The weights outside the layers.
struct OuterWeights {
  at::Tensor embedding; // [V, E]
  at::Tensor positions; // [max_positions, E]; of a model with a table of them
  NormWeights final_norm;
  at::Tensor lm_head; // [V, E]; the embedding itself in a tied model
};

/// Names and shapes of layer `layer`'s weights; biases only where the model has them.
std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights);
/// Names and shapes of the outer weights; no lm_head in a tied model.
std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights);

} // namespace tessera::reference
