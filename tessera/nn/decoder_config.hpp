#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/rope.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// RMS: by the root mean square; LAYER: by mean and variance, with a bias.
enum class NormKind { RMS, LAYER };

/// How the model knows where a token stands. ROTARY: heads are turned. LEARNED: a table's row is added to the
/// embedding. ALIBI: scores get a bias that grows with the key's position.
enum class PositionKind { ROTARY, LEARNED, ALIBI };

/// How the checkpoint holds Q, K and V. STACKED: one projection, all of Q, then K, then V. GROUPED: one projection, for
/// each KV head its query heads, its key and its value.
enum class QkvLayout { SEPARATE, STACKED, GROUPED };

/// A mixture of experts in place of the MLP (Shazeer et al., "Outrageously Large Neural Networks"): each token goes
/// through the best few, weighted by the softmax over those.
struct ExpertsConfig {
  std::int64_t count = 0; ///< 0: a plain MLP
  std::int64_t per_token = 2;
};

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
  double norm_weight_offset = 0.0; ///< added to the stored weights of norms: 1 where they are stored as 1 + w
  bool qk_norm = false;            ///< RMS norm of each query and key head before the rotary embedding
  /// Attention and MLP both read the layer's input: x + attention(norm(x)) + mlp(norm(x)). Else one after the other.
  bool parallel_residual = false;
  bool mlp_norm = true; ///< the MLP has a norm of its own; else, in a parallel layer, it reads the attention's
  /// Attention and MLP each have a norm on their output too, before it is added to the residual stream.
  bool output_norms = false;
  bool gated_mlp = true; ///< down(activation(gate) * up); else down(activation(up)), the activation one of GELU's
  ops::Activation activation = ops::Activation::SILU;
  ExpertsConfig experts;
  PositionKind positions = PositionKind::ROTARY;
  RopeConfig rope;
  double attention_scale = 0.0;        ///< of the scores; 0: 1 / sqrt(D)
  bool scale_by_inverse_layer = false; ///< the scale of layer i, counted from 1, is divided by i
  double attention_softcap = 0.0;      ///< scores stay within -softcap .. softcap; 0: none
  double logit_softcap = 0.0;          ///< and so do logits
  double embedding_scale = 1.0;        ///< the embedding is multiplied by it, rounded to the activations' format
  bool tied_embeddings = false;        ///< the LM head is the embedding
  QkvLayout qkv = QkvLayout::SEPARATE;
  bool fused_gate_up = false;      ///< the checkpoint holds gate and up as one projection, gate first
  bool transposed_linears = false; ///< the layers' projections are stored as [in, out]
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  /// Of each layer: position i attends to i - window + 1 .. i; 0: to all before it.
  std::vector<std::int64_t> sliding_window;
  DataType stored_dtype = DataType::BFLOAT16; ///< what config.json says of the weights; used where there are none

  /// The scale of scores, of the first layer.
  double scale() const {
    return attention_scale > 0.0 ? attention_scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
  }
  bool fused_qkv() const { return qkv != QkvLayout::SEPARATE; }
  std::int64_t attention_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  /// Number of weights, a tied LM head counted once.
  std::int64_t parameters() const;
};

/// Names of one layer's tensors in the checkpoint, without ".weight" and ".bias"; the default is Llama's.
struct DecoderNames {
  std::string embedding = "model.embed_tokens";
  std::string position_embedding = "model.embed_positions"; ///< of learned positions
  std::string final_norm = "model.norm";
  std::string lm_head = "lm_head";
  std::string layer = "model.layers.{}."; ///< {} is the layer's number
  std::string input_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string qkv = "self_attn.qkv_proj"; ///< in place of the three where they are fused
  std::string q_norm = "self_attn.q_norm";
  std::string k_norm = "self_attn.k_norm";
  std::string o = "self_attn.o_proj";
  std::string rotary_frequencies = "self_attn.rotary_emb.inv_freq"; ///< in files of early releases
  std::vector<std::string> masks;                               ///< buffers of the attention, in files that carry them
  std::string post_attention_norm = "post_attention_layernorm"; ///< the MLP's, on its input
  std::string attention_output_norm = "attention_output_layernorm"; ///< where the model has output norms
  std::string mlp_output_norm = "mlp_output_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string gate_up = "mlp.gate_up_proj"; ///< in place of the two where they are fused
  std::string down = "mlp.down_proj";
  std::string router = "block_sparse_moe.gate";
  std::string expert = "block_sparse_moe.experts.{}."; ///< {} is the expert's number; gate, up and down follow
  std::string expert_gate = "w1";
  std::string expert_up = "w3";
  std::string expert_down = "w2";

  /// "model.layers.3.self_attn.q_proj"
  std::string of_layer(std::int64_t number, const std::string& part) const;
  /// "model.layers.3.block_sparse_moe.experts.5.w1"
  std::string of_expert(std::int64_t layer_number, std::int64_t expert_number, const std::string& part) const;
};

/// A tensor that a checkpoint of the model must hold.
struct TensorExpectation {
  std::string name;
  std::vector<std::int64_t> shape;
  /// May be absent: a tied LM head that is stored too, buffers that older files carry; the bias of a norm, which then
  /// is zero, as transformers initialises it.
  bool optional = false;
  bool buffer = false; ///< of no use, whatever its shape and format: older files carry it
};

/// Every tensor of the model in the checkpoint's names, in the order of use.
std::vector<TensorExpectation> expected_tensors(const DecoderConfig& config, const DecoderNames& names);

} // namespace tessera::nn
