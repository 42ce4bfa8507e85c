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

/// One decoder layer's weights, fp32. They may require gradients. What the model has not is undefined.
struct LayerWeights {
  NormWeights input_norm;
  NormWeights post_attention_norm; // the MLP's
  LinearWeights q;                 // [Hq·D, E]
  LinearWeights k;                 // [Hkv·D, E]
  LinearWeights v;                 // [Hkv·D, E]
  LinearWeights qkv;               // [Hkv·(Hq/Hkv + 2)·D, E], in place of q, k and v
  LinearWeights o;                 // [E, Hq·D]
  LinearWeights gate;              // [F, E]
  LinearWeights up;                // [F, E]
  LinearWeights down;              // [E, F]
};

/// Rotary factors for consecutive positions. Both halves of a head carry the same angles (rotate_half order).
struct RotaryTable {
  at::Tensor cos; // [S, D]
  at::Tensor sin; // [S, D]
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
  std::int64_t window = 0;     // 0: full causal attention
  LayerCache* cache = nullptr; // null: the given positions are the whole sequence
  double dropout = 0.0;        // on each residual branch; the trainer alone sets it
};

/// Angles position·frequency in fp32, as transformers' LlamaRotaryEmbedding computes them.
RotaryTable rotary_table(const DecoderDescription& model, std::int64_t first_position, std::int64_t count);

/// x [.., K] → [.., N].
at::Tensor linear(const at::Tensor& x, const LinearWeights& weights);
/// The model's norm over the last dimension: x / sqrt(mean(x²) + eps) · weight (RMSNorm, Zhang & Sennrich 2019), or
/// (x - mean) / sqrt(variance + eps) · weight + bias (Ba et al. 2016).
at::Tensor norm(const at::Tensor& x, const NormWeights& weights, const DecoderDescription& model);
/// x [B, H, S, D] turned by the table's S positions: x·cos + rotate_half(x)·sin (Su et al. 2021).
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);
/// x [B, S, E] → [B, S, E]: grouped-query attention with the output projection, before the residual add.
at::Tensor attention(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);
/// x [B, S, E] → [B, S, E]: down(activation(gate(x)) · up(x)) (SwiGLU and its kin, Shazeer 2020), or without a gate
/// down(activation(up(x))).
at::Tensor mlp(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model);
/// x [B, S, E] → [B, S, E]: attention and MLP, each behind a norm and with its residual; one after the other, or both
/// on x.
at::Tensor decoder_layer(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);

} // namespace tessera::reference
