#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/rope.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// RMS: by the root mean square; LAYER: by mean and variance, with a bias.
enum class NormKind { RMS, LAYER };

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
  NormKind norm = NormKind::RMS;
  double norm_epsilon = 1e-5;
  /// Attention and MLP both read the layer's input: x + attention(norm(x)) + mlp(norm(x)). Else one after the other.
  bool parallel_residual = false;
  bool mlp_norm = true;  ///< the MLP has a norm of its own; else, in a parallel layer, it reads the attention's
  bool gated_mlp = true; ///< down(activation(gate) * up); else down(activation(up)), the activation one of GELU's
  ops::Activation activation = ops::Activation::SILU;
  RopeConfig rope;
  bool tied_embeddings = false; ///< the LM head is the embedding
  /// The checkpoint holds Q, K and V as one projection: for each KV head its query heads, its key and its value.
  bool fused_qkv = false;
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
  std::string qkv = "self_attn.qkv_proj"; ///< in place of the three where they are fused
  std::string o = "self_attn.o_proj";
  std::string rotary_frequencies = "self_attn.rotary_emb.inv_freq"; ///< in files of early releases
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
  /// May be absent: a tied LM head that is stored too, buffers that older files carry; the bias of a norm, which then
  /// is zero, as transformers initialises it.
  bool optional = false;
};

/// Every tensor of the model in the checkpoint's names, in the order of use.
std::vector<TensorExpectation> expected_tensors(const DecoderConfig& config, const DecoderNames& names);

} // namespace tessera::nn
