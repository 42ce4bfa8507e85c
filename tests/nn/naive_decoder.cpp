#include "tests/nn/naive_decoder.hpp"

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
  Row y;
  for (std::int64_t n = 0; n < weight.shape[0]; ++n) {
    double value = 0;
    for (std::size_t k = 0; k < x.size(); ++k) value += x[k] * weight.row(n)[k];
    y.push_back(value);
  }
  const bool attention_bias = config_.qkv_bias && part.find("self_attn") != std::string::npos;
  const bool mlp_bias = config_.mlp_bias && part.find("mlp") != std::string::npos;
  if (attention_bias || mlp_bias) {
    for (std::size_t n = 0; n < y.size(); ++n) y[n] += model_.weight(part + ".bias").data[n];
  }
  return y;
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
      y.push_back(normed * model_.weight(part + ".weight").data[i] + model_.weight(part + ".bias").data[i]);
    }
    return y;
  }
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + config_.norm_epsilon);
  Row y = x;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= scale * model_.weight(part + ".weight").data[i];
  return y;
}

Row NaiveDecoder::rotate(const Row& x, std::int64_t heads, std::int64_t position) const {
  const std::vector<float> frequencies = rope_frequencies(config_.rope, config_.head_dim);
  const std::size_t half = frequencies.size();
  Row y = x;
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const std::size_t at = head * 2 * half + i;
      y[at] = x[at] * std::cos(angle) - x[at + half] * std::sin(angle);
      y[at + half] = x[at + half] * std::cos(angle) + x[at] * std::sin(angle);
    }
  }
  return y;
}

Row NaiveDecoder::mlp(const Row& x, std::int64_t layer) const {
  const auto gelu = [](double h) { return h * 0.5 * (1.0 + std::erf(h / std::sqrt(2.0))); };
  if (!config_.gated_mlp) {
    Row hidden = linear(x, name(layer, "mlp.up_proj"));
    for (double& h : hidden) h = gelu(h);
    return linear(hidden, name(layer, "mlp.down_proj"));
  }
  Row gate = linear(x, name(layer, "mlp.gate_proj"));
  const Row up = linear(x, name(layer, "mlp.up_proj"));
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const bool silu = config_.activation == ops::Activation::SILU;
    gate[i] = (silu ? gate[i] / (1.0 + std::exp(-gate[i])) : gelu(gate[i])) * up[i];
  }
  return linear(gate, name(layer, "mlp.down_proj"));
}

NaiveDecoder::Qkv NaiveDecoder::project(const Row& x, std::int64_t layer) const {
  if (!config_.fused_qkv) {
    return {linear(x, name(layer, "self_attn.q_proj")), linear(x, name(layer, "self_attn.k_proj")),
            linear(x, name(layer, "self_attn.v_proj"))};
  }
  const Row fused = linear(x, name(layer, "self_attn.qkv_proj"));
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
  std::vector<Row> keys;
  std::vector<Row> values;
  std::vector<Row> result;
  for (std::size_t position = 0; position < x.size(); ++position) {
    const auto at = static_cast<std::int64_t>(position);
    const Qkv projected = project(x[position], layer);
    const Row q = rotate(projected.q, config_.heads, at);
    keys.push_back(rotate(projected.k, config_.kv_heads, at));
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
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_dim))));
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
  for (const std::int32_t id : ids) x.emplace_back(embedding.row(id).begin(), embedding.row(id).end());
  if (hidden_states != nullptr) hidden_states->assign(1, as_tensor(x));
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    std::vector<Row> normed;
    for (const Row& row : x) normed.push_back(norm(row, name(layer, "input_layernorm")));
    const std::vector<Row> attended = attention(normed, layer);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Row attended_sum = sum(x[i], attended[i]);
      const Row& before = config_.parallel_residual ? x[i] : attended_sum;
      const Row mlp_input = config_.mlp_norm ? norm(before, name(layer, "post_attention_layernorm")) : normed[i];
      x[i] = sum(attended_sum, mlp(mlp_input, layer));
    }
    if (hidden_states != nullptr) hidden_states->push_back(as_tensor(x));
  }
  for (Row& row : x) row = linear(norm(row, "model.norm"), config_.tied_embeddings ? "model.embed_tokens" : "lm_head");
  return as_tensor(x);
}

} // namespace tessera::nn
