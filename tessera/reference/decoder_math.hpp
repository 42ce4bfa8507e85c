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

/// One decoder layer's weights, fp32. They may require gradients.
struct LayerWeights {
  at::Tensor input_norm;          // [E]
  at::Tensor post_attention_norm; // [E]
  LinearWeights q;                // [Hq·D, E]
  LinearWeights k;                // [Hkv·D, E]
  LinearWeights v;                // [Hkv·D, E]
  LinearWeights o;                // [E, Hq·D]
  LinearWeights gate;             // [F, E]
  LinearWeights up;               // [F, E]
  LinearWeights down;             // [E, F]
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
/// x / sqrt(mean(x²) + eps) · weight over the last dimension (Zhang & Sennrich 2019).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
/// x [B, H, S, D] turned by the table's S positions: x·cos + rotate_half(x)·sin (Su et al. 2021).
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);
/// x [B, S, E] → [B, S, E]: grouped-query attention with the output projection, before the residual add.
at::Tensor attention(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);
/// x [B, S, E] → [B, S, E]: down(silu(gate(x)) · up(x)) (SwiGLU, Shazeer 2020).
at::Tensor mlp(const at::Tensor& x, const LayerWeights& weights);
/// x [B, S, E] → [B, S, E]: pre-norm attention and MLP, each with its residual.
at::Tensor decoder_layer(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context);

} // namespace tessera::reference
