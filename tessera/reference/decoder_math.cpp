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

/// What changes scores.
struct ScoreRule {
  std::int64_t window = 0;
  double cap = 0.0;
  at::Tensor bias; // [Hq, T], added to the scores of each key; or undefined
};

/// Softmax attention of queries at positions first_query .. first_query+S-1 over keys 0 .. T-1.
/// q [B, Hq, S, D] (already scaled), k and v [B, Hkv, T, D] → [B, Hq, S, D]
at::Tensor scaled_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t first_query,
                            const ScoreRule& rule) {
  const std::int64_t window = rule.window;
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
    scores = capped(scores, rule.cap);
    if (rule.bias.defined()) {
      scores = scores + rule.bias.narrow(1, first_key, keys).view({1, groups, group_size, 1, keys});
    }
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
  if (model.projections == Projections::SEPARATE) {
    return {split_heads(linear(x, weights.q), model.query_heads, model.head_dim),
            split_heads(linear(x, weights.k), model.kv_heads, model.head_dim),
            split_heads(linear(x, weights.v), model.kv_heads, model.head_dim)};
  }
  const at::Tensor fused = linear(x, weights.qkv);
  const std::int64_t query_width = model.query_heads * model.head_dim, kv_width = model.kv_heads * model.head_dim;
  if (model.projections == Projections::STACKED) {
    return {
        split_heads(fused.narrow(2, 0, query_width).contiguous(), model.query_heads, model.head_dim),
        split_heads(fused.narrow(2, query_width, kv_width).contiguous(), model.kv_heads, model.head_dim),
        split_heads(fused.narrow(2, query_width + kv_width, kv_width).contiguous(), model.kv_heads, model.head_dim)};
  }
  const std::int64_t group = model.query_heads / model.kv_heads;
  const at::Tensor groups = fused.view({x.size(0), x.size(1), model.kv_heads, group + 2, model.head_dim});
  const at::Tensor queries = groups.narrow(3, 0, group).reshape({x.size(0), x.size(1), -1});
  return {split_heads(queries, model.query_heads, model.head_dim), groups.select(3, group).transpose(1, 2),
          groups.select(3, group + 1).transpose(1, 2)};
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  if (activation == Activation::SILU) return at::silu(x);
  return at::gelu(x, activation == Activation::GELU ? "none" : "tanh");
}

/// The slopes of ALiBi times the keys' positions, both steps rounded to bfloat16 as transformers'
/// build_alibi_tensor does: [Hq, T].
at::Tensor alibi(std::int64_t heads, std::int64_t keys) {
  const auto geometric = [](std::int64_t of, const at::Tensor& powers) {
    const double base = std::exp2(-std::exp2(-(std::log2(static_cast<double>(of)) - 3.0)));
    return at::pow(at::full({1}, base, at::kFloat), powers);
  };
  const auto closest = static_cast<std::int64_t>(std::exp2(std::floor(std::log2(static_cast<double>(heads)))));
  at::Tensor slopes = geometric(closest, at::arange(1, 1 + closest, at::kInt));
  if (closest != heads) {
    const std::int64_t left = std::min(closest, heads - closest);
    slopes = at::cat({slopes, geometric(2 * closest, at::arange(1, 1 + 2 * left, 2, at::kInt))});
  }
  return (slopes.to(at::kBFloat16).unsqueeze(1) * at::arange(keys).unsqueeze(0)).to(at::kFloat);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, const DecoderDescription& model) {
  const at::Tensor normed = x * (x.square().mean(-1, /*keepdim=*/true) + model.norm_eps).rsqrt();
  return normed * (model.norm_plus_one ? 1.0 + weight : weight);
}

/// x [.., E] → [.., E]. The router's softmax is over all experts; the best few share what they have of it.
at::Tensor mixture(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model) {
  const at::Tensor tokens = x.reshape({-1, x.size(-1)});
  const at::Tensor routing = at::softmax(linear(tokens, weights.router), -1);
  auto [shares, chosen] = at::topk(routing, model.experts_per_token, -1); // [T, k]
  shares = shares / shares.sum(-1, /*keepdim=*/true);
  at::Tensor sum = at::zeros_like(tokens);
  for (std::int64_t expert = 0; expert < model.experts; ++expert) {
    const std::vector<at::Tensor> places = at::where(chosen == expert); // tokens, and which of their choices
    if (places[0].numel() == 0) continue;
    const ExpertWeights& own = weights.experts[static_cast<std::size_t>(expert)];
    const at::Tensor part = tokens.index_select(0, places[0]);
    const at::Tensor hidden = activate(linear(part, own.gate), model.activation) * linear(part, own.up);
    const at::Tensor share = shares.index({places[0], places[1]}).unsqueeze(-1);
    sum = sum.index_add(0, places[0], linear(hidden, own.down) * share);
  }
  return sum.view(x.sizes());
}

at::Tensor residual(const at::Tensor& x, const at::Tensor& branch, double dropout) {
  return x + (dropout > 0.0 ? at::dropout(branch, dropout, /*train=*/true) : branch);
}

} // namespace

RotaryTable rotary_table(const DecoderDescription& model, std::int64_t first_position, std::int64_t count,
                         std::int64_t length) {
  if (model.positions != Positions::ROTARY) return {};
  const std::vector<float> frequencies = inverse_frequencies(model, length);
  const at::Tensor inverse = at::empty({static_cast<std::int64_t>(frequencies.size())}, at::kFloat);
  std::copy(frequencies.begin(), frequencies.end(), inverse.data_ptr<float>());
  const at::Tensor positions = at::arange(first_position, first_position + count).to(at::kFloat);
  const at::Tensor half = at::outer(positions, inverse); // [S, D/2]
  const at::Tensor angles = at::cat({half, half}, 1);    // [S, D]
  const double factor = model.rotary_scaling.attention_factor;
  return {angles.cos() * factor, angles.sin() * factor};
}

at::Tensor linear(const at::Tensor& x, const LinearWeights& weights) {
  return at::linear(x, weights.weight, weights.bias.defined() ? c10::make_optional(weights.bias) : c10::nullopt);
}

at::Tensor norm(const at::Tensor& x, const NormWeights& weights, const DecoderDescription& model) {
  if (model.norm == NormKind::LAYER) {
    return at::layer_norm(x, weights.weight.sizes(), weights.weight, weights.bias, model.norm_eps);
  }
  return rms_norm(x, weights.weight, model);
}

at::Tensor capped(const at::Tensor& x, double cap) {
  return cap == 0.0 ? x : (x / cap).tanh() * cap;
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table) {
  if (!table.cos.defined()) return x;
  const std::int64_t turned = table.cos.size(-1), half = turned / 2, still = x.size(-1) - turned;
  const at::Tensor part = x.narrow(-1, 0, turned);
  const at::Tensor rotated = at::cat({-part.narrow(-1, half, half), part.narrow(-1, 0, half)}, -1);
  const at::Tensor result = part * table.cos + rotated * table.sin;
  return still == 0 ? result : at::cat({result, x.narrow(-1, turned, still)}, -1);
}

at::Tensor attention(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context) {
  const DecoderDescription& model = context.model;
  double scale = model.score_scale == 0.0 ? 1.0 / std::sqrt(static_cast<double>(model.head_dim)) : model.score_scale;
  if (model.scale_by_layer) scale /= static_cast<double>(context.layer + 1);
  Heads heads = project(x, weights, model);
  if (model.head_norms) {
    heads.q = rms_norm(heads.q, weights.q_norm.weight, model);
    heads.k = rms_norm(heads.k, weights.k_norm.weight, model);
  }
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
  ScoreRule rule{.window = context.window, .cap = model.score_cap, .bias = {}};
  if (model.positions == Positions::ALIBI) rule.bias = alibi(model.query_heads, k.size(2)) * scale;
  const at::Tensor mixed = scaled_attention(q.contiguous(), k, v, first_query, rule); // [B, Hq, S, D]
  return linear(mixed.transpose(1, 2).reshape({x.size(0), x.size(1), model.query_heads * model.head_dim}), weights.o);
}

at::Tensor mlp(const at::Tensor& x, const LayerWeights& weights, const DecoderDescription& model) {
  if (model.experts > 0) return mixture(x, weights, model);
  if (model.fused_gate) {
    const std::vector<at::Tensor> halves = linear(x, weights.gate_up).chunk(2, -1);
    return linear(activate(halves[0], model.activation) * halves[1], weights.down);
  }
  const at::Tensor up = linear(x, weights.up);
  if (!model.gated_mlp) return linear(activate(up, model.activation), weights.down);
  return linear(activate(linear(x, weights.gate), model.activation) * up, weights.down);
}

at::Tensor decoder_layer(const at::Tensor& x, const LayerWeights& weights, const LayerContext& context) {
  const DecoderDescription& model = context.model;
  const auto output = [&](const at::Tensor& y, const NormWeights& own) {
    return model.output_norms ? norm(y, own, model) : y;
  };
  const at::Tensor normed = norm(x, weights.input_norm, model);
  const at::Tensor attended =
      residual(x, output(attention(normed, weights, context), weights.attention_output_norm), context.dropout);
  const at::Tensor& before_mlp = model.parallel_residual ? x : attended;
  const at::Tensor mlp_input = model.mlp_norm ? norm(before_mlp, weights.post_attention_norm, model) : normed;
  return residual(attended, output(mlp(mlp_input, weights, model), weights.mlp_output_norm), context.dropout);
}

} // namespace tessera::reference
