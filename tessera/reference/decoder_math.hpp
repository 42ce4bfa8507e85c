#pragma once

// Private to the reference and to the trainer: the only header here that shows libtorch.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tessera/reference/decoder_description.hpp"

namespace tessera::reference {

/// y = x · weightᵀ (+ bias).
struct LinearWeights {
  at::Tensor weight; // [N, K], as the checkpoint stores it
  at::Tensor bias;   // [N], or undefined
};

struct NormWeights {
  at::Tensor weight; // [E]
  at::Tensor bias;   // [E], or undefined
};

/// One MLP of a mixture.
struct ExpertWeights {
  LinearWeights gate; // [F, E]
  LinearWeights up;   // [F, E]
  LinearWeights down; // [E, F]
};

/// One decoder layer's weights, fp32. They may require gradients. What the model has not is undefined.
struct LayerWeights {
  NormWeights input_norm;
  NormWeights post_attention_norm; // the MLP's
  LinearWeights q;                 // [Hq·D, E]
  LinearWeights k;                 // [Hkv·D, E]
  LinearWeights v;                 // [Hkv·D, E]
  LinearWeights qkv;               // [(Hq + 2·Hkv)·D, E], in place of q, k and v
  NormWeights q_norm;              // [D]
  NormWeights k_norm;              // [D]
  LinearWeights o;                 // [E, Hq·D]
  LinearWeights gate;              // [F, E]
  LinearWeights up;                // [F, E]
  LinearWeights gate_up;           // [2F, E], in place of gate and up
  LinearWeights down;              // [E, F]
  LinearWeights router;            // [experts, E]
  std::vector<ExpertWeights> experts;
  NormWeights attention_output_norm;
  NormWeights mlp_output_norm;
};

/// Rotary factors for consecutive positions. Both halves of a head carry the same angles (rotate_half order).
struct RotaryTable {
  at::Tensor cos; // [S, R], of the first R values of a head; undefined in a model that turns nothing
  at::Tensor sin; // [S, R]
};

/// Keys (already rotated) and values of the positions seen so far; both grow along T.
struct LayerCache {
  at::Tensor keys;   // [B, Hkv, capacity, D], or undefined while empty
  at::Tensor values; // [B, Hkv, capacity, D]
  std::int64_t length = 0;
};

/// What a layer needs beside its weights.
struct LayerContext {
  const DecoderDescription& model;
  const RotaryTable& rotary;
  std::int64_t layer = 0;      // its number
  std::int64_t window = 0;     // 0: full causal attention
  LayerCache* cache = nullptr; // null: the given positions are the whole sequence
  double dropout = 0.0;        // on each residual branch; the trainer alone sets it
};

/// Angles position·frequency in fp32, as transformers' LlamaRotaryEmbedding computes them, in a sequence of `length`
/// positions in all.
RotaryTable rotary_table(const DecoderDescription& model, std::int64_t first_position, std::int64_t count,
                         std::int64_t length = 1);

/// x [.., K] → [.., N].
at::Tensor linear(const at::Tensor& x, const LinearWeights& weights);
/// The model's norm over the last dimension: x / sqrt(mean(x²) + eps) · weight (RMSNorm, Zhang & Sennrich 2019), or
/// (x - mean) / sqrt(variance + eps) · weight + bias (Ba et al. 2016); the weight plus one where it is stored so.
at::Tensor norm(const at::Tensor& x, const NormWeights& weights, const DecoderDescription& model);
/// x [B, H, S, D] turned by the table's S positions: x·cos + rotate_half(x)·sin (Su et al. 2021) of the values that
/// turn.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);
/// x [B, S, E] → [B, S, E]: grouped-query attention with the output projection, before the residual add.
at::Tensor attention(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);
/// cap·tanh(x / cap), or x itself where the cap is 0.
at::Tensor capped(const at::Tensor& x, double cap);
/// x [B, S, E] → [B, S, E]: down(activation(gate(x)) · up(x)) (SwiGLU and its kin, Shazeer 2020), or without a gate
/// down(activation(up(x))); with experts the sum of each token's best few, by its router's softmax over them.
at::Tensor mlp(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model);
/// x [B, S, E] → [B, S, E]: attention and MLP, each behind a norm and with its residual; one after the other, or both
/// on x.
at::Tensor decoder_layer(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);

} // namespace tessera::reference
