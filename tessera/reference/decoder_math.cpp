#include "tessera/reference/decoder_math.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::reference {
namespace {

// Scores of one query block: at most 4 Mi fp32 values (16 MiB), so that long texts need no S x S matrix per head.
constexpr std::int64_t kScoreElements = std::int64_t{1} << 22;

at::Tensor split_heads(const at::Tensor& x, std::int64_t heads, std::int64_t head_dim) {
  // [B, S, H·D] → [B, H, S, D]
  return x.view({x.size(0), x.size(1), heads, head_dim}).transpose(1, 2);
}

/// Appends [B, Hkv, S, D] to `stored` at `length`, doubling the capacity when it is full.
void append(at::Tensor& stored, const at::Tensor& fresh, std::int64_t length) {
  const std::int64_t needed = length + fresh.size(2);
  if (!stored.defined() || stored.size(2) < needed) {
    const std::int64_t capacity = std::max<std::int64_t>(needed, stored.defined() ? 2 * stored.size(2) : 64);
    at::Tensor grown = at::empty({fresh.size(0), fresh.size(1), capacity, fresh.size(3)}, fresh.options());
    if (length > 0) grown.narrow(2, 0, length).copy_(stored.narrow(2, 0, length));
    stored = grown;
  }
  stored.narrow(2, length, fresh.size(2)).copy_(fresh);
}

/// true where query position `first_query + i` must not see key position `first_key + j`: [rows, keys].
at::Tensor hidden_keys(std::int64_t first_query, std::int64_t rows, std::int64_t first_key, std::int64_t keys,
                       std::int64_t window) {
  const at::Tensor query = at::arange(first_query, first_query + rows).unsqueeze(1);
  const at::Tensor key = at::arange(first_key, first_key + keys).unsqueeze(0);
  at::Tensor hidden = key > query;
  if (window > 0) hidden = hidden.logical_or(key <= query - window);
  return hidden;
}

/// Softmax attention of queries at positions first_query .. first_query+S-1 over keys 0 .. T-1.
/// q [B, Hq, S, D] (already scaled), k and v [B, Hkv, T, D] → [B, Hq, S, D]
at::Tensor scaled_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t first_query,
                            std::int64_t window) {
  const std::int64_t batch = q.size(0), query_heads = q.size(1), queries = q.size(2), head_dim = q.size(3);
  const std::int64_t groups = k.size(1), group_size = query_heads / groups, total_keys = k.size(2);
  const at::Tensor grouped = q.view({batch, groups, group_size, queries, head_dim});
  const std::int64_t block = std::clamp<std::int64_t>(kScoreElements / (batch * query_heads * total_keys), 1, queries);

  std::vector<at::Tensor> outputs;
  for (std::int64_t begin = 0; begin < queries; begin += block) {
    const std::int64_t rows = std::min(block, queries - begin);
    const std::int64_t position = first_query + begin;
    // Keys outside [first_key, last_key) are hidden from every row of the block.
    const std::int64_t first_key = window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0;
    const std::int64_t keys = std::min(total_keys, position + rows) - first_key;
    // [B, Hkv, group·rows, D] · [B, Hkv, D, keys]: one matrix product per KV head, keys are not repeated.
    const at::Tensor block_q = grouped.narrow(3, begin, rows).reshape({batch, groups, group_size * rows, head_dim});
    const at::Tensor block_k = k.narrow(2, first_key, keys), block_v = v.narrow(2, first_key, keys);
    at::Tensor scores = at::matmul(block_q, block_k.transpose(2, 3)).view({batch, groups, group_size, rows, keys});
    scores = scores.masked_fill(hidden_keys(position, rows, first_key, keys, window),
                                -std::numeric_limits<float>::infinity());
    const at::Tensor weights = at::softmax(scores, -1).view({batch, groups, group_size * rows, keys});
    outputs.push_back(at::matmul(weights, block_v).view({batch, query_heads, rows, head_dim}));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs, 2);
}

struct Heads {
  at::Tensor q; // [B, Hq, S, D]
  at::Tensor k; // [B, Hkv, S, D]
  at::Tensor v; // [B, Hkv, S, D]
};

Heads project(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model) {
  if (!model.fused_qkv) {
    return {split_heads(linear(x, weights.q), model.query_heads, model.head_dim),
            split_heads(linear(x, weights.k), model.kv_heads, model.head_dim),
            split_heads(linear(x, weights.v), model.kv_heads, model.head_dim)};
  }
  const std::int64_t group = model.query_heads / model.kv_heads;
  const at::Tensor groups =
      linear(x, weights.qkv).view({x.size(0), x.size(1), model.kv_heads, group + 2, model.head_dim});
  const at::Tensor queries = groups.narrow(3, 0, group).reshape({x.size(0), x.size(1), -1});
  return {split_heads(queries, model.query_heads, model.head_dim), groups.select(3, group).transpose(1, 2),
          groups.select(3, group + 1).transpose(1, 2)};
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  if (activation == Activation::SILU) return at::silu(x);
  return at::gelu(x, activation == Activation::GELU ? "none" : "tanh");
}

at::Tensor residual(const at::Tensor& x, const at::Tensor& branch, double dropout) {
  return x + (dropout > 0.0 ? at::dropout(branch, dropout, /*train=*/true) : branch);
}

} // namespace

RotaryTable rotary_table(const DecoderDescription& model, std::int64_t first_position, std::int64_t count) {
  const std::vector<float> frequencies = inverse_frequencies(model);
  const at::Tensor inverse = at::empty({static_cast<std::int64_t>(frequencies.size())}, at::kFloat);
  std::copy(frequencies.begin(), frequencies.end(), inverse.data_ptr<float>());
  const at::Tensor positions = at::arange(first_position, first_position + count).to(at::kFloat);
  const at::Tensor half = at::outer(positions, inverse); // [S, D/2]
  const at::Tensor angles = at::cat({half, half}, 1);    // [S, D]
  return {angles.cos(), angles.sin()};
}

at::Tensor linear(const at::Tensor& x, const LinearWeights& weights) {
  return at::linear(x, weights.weight, weights.bias.defined() ? c10::make_optional(weights.bias) : c10::nullopt);
}

at::Tensor norm(const at::Tensor& x, const NormWeights& weights, const DecoderDescription& model) {
  if (model.norm == NormKind::LAYER) {
    return at::layer_norm(x, weights.weight.sizes(), weights.weight, weights.bias, model.norm_eps);
  }
  const at::Tensor mean_square = x.square().mean(-1, /*keepdim=*/true);
  return x * (mean_square + model.norm_eps).rsqrt() * weights.weight;
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * table.cos + rotated * table.sin;
}

at::Tensor attention(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context) {
  const DecoderDescription& model = context.model;
  const double scale = 1.0 / std::sqrt(static_cast<double>(model.head_dim));
  const Heads heads = project(x, weights, model);
  const at::Tensor q = apply_rotary(heads.q, context.rotary) * scale;
  at::Tensor k = apply_rotary(heads.k, context.rotary);
  at::Tensor v = heads.v;

  std::int64_t first_query = 0;
  if (LayerCache* cache = context.cache) {
    first_query = cache->length;
    append(cache->keys, k, first_query);
    append(cache->values, v, first_query);
    cache->length = first_query + x.size(1);
    k = cache->keys.narrow(2, 0, cache->length);
    v = cache->values.narrow(2, 0, cache->length);
  }
  const at::Tensor mixed = scaled_attention(q.contiguous(), k, v, first_query, context.window); // [B, Hq, S, D]
  return linear(mixed.transpose(1, 2).reshape({x.size(0), x.size(1), model.query_heads * model.head_dim}), weights.o);
}

at::Tensor mlp(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model) {
  const at::Tensor up = linear(x, weights.up);
  if (!model.gated_mlp) return linear(activate(up, model.activation), weights.down);
  return linear(activate(linear(x, weights.gate), model.activation) * up, weights.down);
}

at::Tensor decoder_layer(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context) {
  const DecoderDescription& model = context.model;
  const at::Tensor normed = norm(x, weights.input_norm, model);
  const at::Tensor attended = residual(x, attention(normed, weights, context), context.dropout);
  const at::Tensor& before_mlp = model.parallel_residual ? x : attended;
  const at::Tensor mlp_input = model.mlp_norm ? norm(before_mlp, weights.post_attention_norm, model) : normed;
  return residual(attended, mlp(mlp_input, weights, model), context.dropout);
}

} // namespace tessera::reference
