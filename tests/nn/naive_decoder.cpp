#include "tests/nn/naive_decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera::nn {
namespace {

using Row = NaiveDecoder::Row;

Row sum(Row a, const Row& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

HostTensor as_tensor(const std::vector<Row>& rows) {
  HostTensor tensor{{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.front().size())}, {}};
  for (const Row& row : rows) {
    for (const double value : row) tensor.data.push_back(static_cast<float>(value));
  }
  return tensor;
}

} // namespace

Row NaiveDecoder::linear(const Row& x, const std::string& part) const {
  const HostTensor& weight = model_.weight(part + ".weight");
  const bool of_layer = part.find("layers") != std::string::npos;
  const bool transposed = config_.transposed_linears && of_layer;
  Row y;
  for (std::int64_t n = 0; n < weight.shape[transposed ? 1 : 0]; ++n) {
    double value = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const auto column = static_cast<std::size_t>(n);
      value += x[k] * (transposed ? weight.row(static_cast<std::int64_t>(k))[column] : weight.row(n)[k]);
    }
    y.push_back(value);
  }
  const bool attention_bias = config_.qkv_bias && part.find("self_attn") != std::string::npos;
  const bool mlp_bias = config_.mlp_bias && part.find("mlp") != std::string::npos;
  if (attention_bias || mlp_bias) {
    for (std::size_t n = 0; n < y.size(); ++n) y[n] += model_.weight(part + ".bias").data[n];
  }
  return y;
}

double NaiveDecoder::weight_of(const std::string& norm, std::size_t i) const {
  return config_.norm_weight_offset + model_.weight(norm + ".weight").data[i];
}

Row NaiveDecoder::norm(const Row& x, const std::string& part) const {
  if (config_.norm == NormKind::LAYER) {
    const auto count = static_cast<double>(x.size());
    double mean = 0;
    double variance = 0;
    for (const double value : x) mean += value / count;
    for (const double value : x) variance += (value - mean) * (value - mean) / count;
    Row y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double normed = (x[i] - mean) / std::sqrt(variance + config_.norm_epsilon);
      y.push_back(normed * weight_of(part, i) + model_.weight(part + ".bias").data[i]);
    }
    return y;
  }
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + config_.norm_epsilon);
  Row y = x;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= scale * weight_of(part, i);
  return y;
}

/// The norm of each head by itself.
Row NaiveDecoder::head_norm(const Row& x, const std::string& part) const {
  Row y;
  for (auto from = x.begin(); from != x.end(); from += config_.head_dim) {
    const Row head = norm(Row(from, from + config_.head_dim), part);
    y.insert(y.end(), head.begin(), head.end());
  }
  return y;
}

Row NaiveDecoder::rotate(const Row& x, std::int64_t heads, std::int64_t position, std::int64_t length) const {
  if (config_.positions != PositionKind::ROTARY) return x;
  const RopeConfig& rope = config_.rope;
  const bool is_long = rope.longrope && length > rope.longrope->original_max_positions;
  const std::vector<float> frequencies =
      rope_frequencies(rope, config_.head_dim, is_long ? SequenceKind::LONG : SequenceKind::SHORT);
  const std::size_t half = frequencies.size();
  Row y = x;
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const double cosine = rope.attention_factor * std::cos(angle);
      const double sine = rope.attention_factor * std::sin(angle);
      const std::size_t at = head * static_cast<std::size_t>(config_.head_dim) + i;
      y[at] = x[at] * cosine - x[at + half] * sine;
      y[at + half] = x[at + half] * cosine + x[at] * sine;
    }
  }
  return y;
}

Row NaiveDecoder::activated(Row x) const {
  for (double& h : x) {
    if (config_.activation == ops::Activation::SILU) h /= 1.0 + std::exp(-h);
    if (config_.activation == ops::Activation::GELU) h *= 0.5 * (1.0 + std::erf(h / std::sqrt(2.0)));
    if (config_.activation == ops::Activation::GELU_TANH)
      h *= 0.5 * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (h + 0.044715 * h * h * h)));
  }
  return x;
}

Row NaiveDecoder::mlp(const Row& x, std::int64_t layer) const {
  if (config_.experts.count > 0) return mixture(x, layer);
  if (!config_.gated_mlp) return linear(activated(linear(x, name(layer, "mlp.up_proj"))), name(layer, "mlp.down_proj"));
  Row gate;
  Row up;
  if (config_.fused_gate_up) {
    const Row both = linear(x, name(layer, "mlp.gate_up_proj"));
    gate.assign(both.begin(), both.begin() + config_.intermediate_size);
    up.assign(both.begin() + config_.intermediate_size, both.end());
  } else {
    gate = linear(x, name(layer, "mlp.gate_proj"));
    up = linear(x, name(layer, "mlp.up_proj"));
  }
  gate = activated(gate);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i];
  return linear(gate, name(layer, "mlp.down_proj"));
}

/// The best experts of a token, by the softmax over those.
Row NaiveDecoder::mixture(const Row& x, std::int64_t layer) const {
  const Row scores = linear(x, name(layer, "block_sparse_moe.gate"));
  std::vector<std::size_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(static_cast<std::size_t>(config_.experts.per_token));
  double total = 0;
  for (const std::size_t expert : order) total += std::exp(scores[expert]);
  Row result(x.size(), 0.0);
  for (const std::size_t expert : order) {
    const auto part = [&](const char* of) {
      return name(layer, fmt::format("block_sparse_moe.experts.{}.{}", expert, of));
    };
    Row gate = activated(linear(x, part("w1")));
    const Row up = linear(x, part("w3"));
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i];
    const Row output = linear(gate, part("w2"));
    for (std::size_t i = 0; i < result.size(); ++i) result[i] += std::exp(scores[expert]) / total * output[i];
  }
  return result;
}

NaiveDecoder::Qkv NaiveDecoder::project(const Row& x, std::int64_t layer) const {
  if (config_.qkv == QkvLayout::SEPARATE) {
    return {linear(x, name(layer, "self_attn.q_proj")), linear(x, name(layer, "self_attn.k_proj")),
            linear(x, name(layer, "self_attn.v_proj"))};
  }
  const Row fused = linear(x, name(layer, "self_attn.qkv_proj"));
  if (config_.qkv == QkvLayout::STACKED) {
    const auto keys = fused.begin() + config_.attention_width();
    const auto values = keys + config_.kv_width();
    return {{fused.begin(), keys}, {keys, values}, {values, fused.end()}};
  }
  const std::int64_t group = config_.heads / config_.kv_heads;
  Qkv result;
  auto from = fused.begin();
  for (std::int64_t kv_head = 0; kv_head < config_.kv_heads; ++kv_head) {
    const auto take = [&](Row& to, std::int64_t heads) {
      to.insert(to.end(), from, from + heads * config_.head_dim);
      from += heads * config_.head_dim;
    };
    take(result.q, group);
    take(result.k, 1);
    take(result.v, 1);
  }
  return result;
}

std::vector<Row> NaiveDecoder::attention(const std::vector<Row>& x, std::int64_t layer) const {
  const auto head_dim = static_cast<std::size_t>(config_.head_dim);
  const auto heads = static_cast<std::size_t>(config_.heads);
  const std::size_t group = heads / static_cast<std::size_t>(config_.kv_heads);
  const auto window = static_cast<std::size_t>(config_.sliding_window[static_cast<std::size_t>(layer)]);
  double scale = config_.attention_scale > 0 ? config_.attention_scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
  if (config_.scale_by_inverse_layer) scale /= static_cast<double>(layer + 1);
  std::vector<Row> keys;
  std::vector<Row> values;
  std::vector<Row> result;
  for (std::size_t position = 0; position < x.size(); ++position) {
    const auto at = static_cast<std::int64_t>(position);
    Qkv projected = project(x[position], layer);
    if (config_.qk_norm) {
      projected.q = head_norm(projected.q, name(layer, "self_attn.q_norm"));
      projected.k = head_norm(projected.k, name(layer, "self_attn.k_norm"));
    }
    const auto length = static_cast<std::int64_t>(x.size());
    const Row q = rotate(projected.q, config_.heads, at, length);
    keys.push_back(rotate(projected.k, config_.kv_heads, at, length));
    values.push_back(projected.v);
    Row mixed(heads * head_dim, 0.0);
    const std::size_t first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    for (std::size_t head = 0; head < heads; ++head) {
      std::vector<double> weights;
      double total = 0;
      for (std::size_t j = first; j <= position; ++j) {
        double score = 0;
        for (std::size_t d = 0; d < head_dim; ++d)
          score += q[head * head_dim + d] * keys[j][head / group * head_dim + d];
        score *= scale;
        if (config_.attention_softcap > 0)
          score = config_.attention_softcap * std::tanh(score / config_.attention_softcap);
        // Slopes 2^-1, 2^-2, ... of the eight heads; relative to the query, which a softmax does not see.
        if (config_.positions == PositionKind::ALIBI)
          score +=
              scale * std::exp2(-1.0 - static_cast<double>(head)) * (static_cast<double>(j) - static_cast<double>(at));
        weights.push_back(std::exp(score));
        total += weights.back();
      }
      for (std::size_t j = first; j <= position; ++j) {
        for (std::size_t d = 0; d < head_dim; ++d)
          mixed[head * head_dim + d] += weights[j - first] / total * values[j][head / group * head_dim + d];
      }
    }
    result.push_back(linear(mixed, name(layer, "self_attn.o_proj")));
  }
  return result;
}

HostTensor NaiveDecoder::logits(const std::vector<std::int32_t>& ids, HiddenStates* hidden_states) const {
  const HostTensor& embedding = model_.weight("model.embed_tokens.weight");
  std::vector<Row> x;
  for (const std::int32_t id : ids) {
    Row row(embedding.row(id).begin(), embedding.row(id).end());
    for (double& value : row) value *= config_.embedding_scale;
    if (config_.positions == PositionKind::LEARNED) {
      const auto place = model_.weight("model.embed_positions.weight").row(static_cast<std::int64_t>(x.size()));
      row = sum(row, Row(place.begin(), place.end()));
    }
    x.push_back(row);
  }
  if (hidden_states != nullptr) hidden_states->assign(1, as_tensor(x));
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto output = [&](const Row& row, const char* of) {
      return config_.output_norms ? norm(row, name(layer, of)) : row;
    };
    std::vector<Row> normed;
    for (const Row& row : x) normed.push_back(norm(row, name(layer, "input_layernorm")));
    const std::vector<Row> attended = attention(normed, layer);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Row attended_sum = sum(x[i], output(attended[i], "attention_output_layernorm"));
      const Row& before = config_.parallel_residual ? x[i] : attended_sum;
      const Row mlp_input = config_.mlp_norm ? norm(before, name(layer, "post_attention_layernorm")) : normed[i];
      x[i] = sum(attended_sum, output(mlp(mlp_input, layer), "mlp_output_layernorm"));
    }
    if (hidden_states != nullptr) hidden_states->push_back(as_tensor(x));
  }
  for (Row& row : x) {
    row = linear(norm(row, "model.norm"), config_.tied_embeddings ? "model.embed_tokens" : "lm_head");
    for (double& value : row) {
      if (config_.logit_softcap > 0) value = config_.logit_softcap * std::tanh(value / config_.logit_softcap);
    }
  }
  return as_tensor(x);
}

} // namespace tessera::nn
