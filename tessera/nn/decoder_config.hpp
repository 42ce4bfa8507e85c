#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/rope.hpp"

namespace tessera::nn {

/// What a decoder-only transformer is, in our words: the family's mapping fills it in from config.json.
struct DecoderConfig {
  std::string family;
  std::int64_t vocab_size = 0;        ///< V
  std::int64_t hidden_size = 0;       ///< E
  std::int64_t intermediate_size = 0; ///< F
  std::int64_t layers = 0;
  std::int64_t heads = 0;         ///< Hq
  std::int64_t kv_heads = 0;      ///< Hkv, divides Hq
  std::int64_t head_dim = 0;      ///< D, even
  std::int64_t max_positions = 0; ///< context that the model was trained for
  double norm_epsilon = 1e-5;
  RopeConfig rope;
  bool tied_embeddings = false; ///< the LM head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  /// Of each layer: position i attends to i - window + 1 .. i; 0: to all before it.
  std::vector<std::int64_t> sliding_window;
  DataType stored_dtype = DataType::BFLOAT16; ///< what config.json says of the weights; used where there are none

  std::int64_t attention_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  /// Number of weights, a tied LM head counted once.
  std::int64_t parameters() const;
};

/// Names of one layer's tensors in the checkpoint, without ".weight" and ".bias"; the default is Llama's.
struct DecoderNames {
  std::string embedding = "model.embed_tokens";
  std::string final_norm = "model.norm";
  std::string lm_head = "lm_head";
  std::string layer = "model.layers.{}."; ///< {} is the layer's number
  std::string input_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string o = "self_attn.o_proj";
  std::string post_attention_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string down = "mlp.down_proj";

  /// "model.layers.3.self_attn.q_proj"
  std::string of_layer(std::int64_t number, const std::string& part) const;
};

/// A tensor that a checkpoint of the model must hold.
struct TensorExpectation {
  std::string name;
  std::vector<std::int64_t> shape;
  bool optional = false; ///< may be absent: a tied LM head that is stored too, buffers that older files carry
};

/// Every tensor of the model in the checkpoint's names, in the order of use.
std::vector<TensorExpectation> expected_tensors(const DecoderConfig& config, const DecoderNames& names);

} // namespace tessera::nn
