#include "tests/reference/naive_decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera::test {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

constexpr std::size_t kHeadDim = 8;

struct Naive {
  const nlohmann::json& config;
  const TinyWeights& weights;
  const NaiveOptions& options;

  Row linear(const Row& x, const std::string& name) const {
    const std::vector<float>& weight = weights.at(name + ".weight").values;
    Row y(weight.size() / x.size(), 0.0);
    for (std::size_t n = 0; n < y.size(); ++n) {
      for (std::size_t k = 0; k < x.size(); ++k) y[n] += x[k] * weight[n * x.size() + k];
    }
    if (const auto bias = weights.find(name + ".bias"); bias != weights.end()) {
      for (std::size_t n = 0; n < y.size(); ++n) y[n] += bias->second.values[n];
    }
    return y;
  }

  Row layer_norm(const Row& x, const std::string& name) const {
    const auto count = static_cast<double>(x.size());
    double mean = 0.0, variance = 0.0;
    for (const double value : x) mean += value / count;
    for (const double value : x) variance += (value - mean) * (value - mean) / count;
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * weights.at(name + ".weight").values[i];
      if (const auto bias = weights.find(name + ".bias"); bias != weights.end()) y[i] += bias->second.values[i];
    }
    return y;
  }

  Row norm(const Row& x, const std::string& name) const {
    double squares = 0.0;
    for (const double value : x) squares += value * value;
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-5);
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weights.at(name + ".weight").values[i];
    return y;
  }

  Row turned(Row x, std::size_t position) const {
    for (std::size_t head = 0; head < x.size(); head += kHeadDim) {
      for (std::size_t i = 0; i < kHeadDim / 2; ++i) {
        const double frequency = std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(kHeadDim));
        const double angle = static_cast<double>(position) * options.stretch(frequency);
        double& low = x[head + i];
        double& high = x[head + i + kHeadDim / 2];
        const double first = low * std::cos(angle) - high * std::sin(angle);
        high = high * std::cos(angle) + low * std::sin(angle);
        low = first;
      }
    }
    return x;
  }

  /// Attention of the last query over all rows of keys, head by head.
  Row attend(const Row& query, const Rows& keys, const Rows& values, std::int64_t window) const {
    const std::size_t heads = query.size() / kHeadDim, group = query.size() / keys.front().size();
    const std::size_t last = keys.size() - 1;
    const std::size_t first =
        window > 0 && last + 1 > static_cast<std::size_t>(window) ? last + 1 - static_cast<std::size_t>(window) : 0;
    Row mixed(query.size(), 0.0);
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t q = head * kHeadDim, kv = head / group * kHeadDim;
      Row shares;
      double total = 0.0;
      for (std::size_t t = first; t <= last; ++t) {
        double score = 0.0;
        for (std::size_t i = 0; i < kHeadDim; ++i) score += query[q + i] * keys[t][kv + i];
        total += shares.emplace_back(std::exp(score / std::sqrt(static_cast<double>(kHeadDim))));
      }
      for (std::size_t t = first; t <= last; ++t) {
        for (std::size_t i = 0; i < kHeadDim; ++i) mixed[q + i] += shares[t - first] / total * values[t][kv + i];
      }
    }
    return mixed;
  }

  Row mlp(const Row& x, const std::string& name) const {
    Row gate = linear(x, name + "gate_proj");
    const Row up = linear(x, name + "up_proj");
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
    return linear(gate, name + "down_proj");
  }

  void layer(Rows& x, std::size_t index) const {
    const std::string prefix = fmt::format("model.layers.{}.", index);
    Rows keys, values;
    for (std::size_t position = 0; position < x.size(); ++position) {
      const Row normed = norm(x[position], prefix + "input_layernorm");
      keys.push_back(turned(linear(normed, prefix + "self_attn.k_proj"), position));
      values.push_back(linear(normed, prefix + "self_attn.v_proj"));
      const Row query = turned(linear(normed, prefix + "self_attn.q_proj"), position);
      const Row mixed = attend(query, keys, values, options.windows[index]);
      add(x[position], linear(mixed, prefix + "self_attn.o_proj"));
      add(x[position], mlp(norm(x[position], prefix + "post_attention_layernorm"), prefix + "mlp."));
    }
  }

  /// Falcon's fused projection, head by head: q, k and v of the heads that `place(head)` says where to find, in heads.
  static Row heads_of(const Row& fused, std::size_t count, const std::function<std::size_t(std::size_t)>& place) {
    Row heads;
    for (std::size_t head = 0; head < count; ++head) {
      const auto from = fused.begin() + static_cast<std::ptrdiff_t>(place(head) * kHeadDim);
      heads.insert(heads.end(), from, from + kHeadDim);
    }
    return heads;
  }

  Row falcon_mlp(const Row& x, const std::string& name) const {
    Row hidden = linear(x, name + "dense_h_to_4h");
    const bool exact = config.value("activation", "gelu") == "gelu";
    for (double& h : hidden) {
      h *= 0.5 * (1.0 + (exact ? std::erf(h / std::sqrt(2.0))
                               : std::tanh(std::sqrt(2.0 / M_PI) * (h + 0.044715 * h * h * h))));
    }
    return linear(hidden, name + "dense_4h_to_h");
  }

  void falcon_layer(Rows& x, std::size_t index) const {
    const std::string prefix = fmt::format("transformer.h.{}.", index);
    const std::size_t heads = config.at("num_attention_heads");
    const bool grouped = config.at("new_decoder_architecture"), multi_query = config.at("multi_query");
    const bool parallel = grouped || config.at("parallel_attn");
    const bool two_norms = grouped && config.value("num_ln_in_parallel_attn", 2) == 2;
    const std::size_t kv_heads = grouped ? config.at("num_kv_heads").get<std::size_t>() : multi_query ? 1 : heads;
    Rows keys, values;
    for (std::size_t position = 0; position < x.size(); ++position) {
      const Row normed = layer_norm(x[position], prefix + (two_norms ? "ln_attn" : "input_layernorm"));
      const Row fused = linear(normed, prefix + "self_attention.query_key_value");
      std::function<std::size_t(std::size_t)> q, k, v;
      if (grouped) { // [q.., k, v] for each KV head
        const std::size_t group = heads / kv_heads;
        q = [group](std::size_t head) { return head / group * (group + 2) + head % group; };
        k = [group](std::size_t head) { return head * (group + 2) + group; };
        v = [group](std::size_t head) { return head * (group + 2) + group + 1; };
      } else if (multi_query) { // all queries, then the key and the value
        q = [](std::size_t head) { return head; };
        k = [heads](std::size_t) { return heads; };
        v = [heads](std::size_t) { return heads + 1; };
      } else { // q, k, v head by head
        q = [](std::size_t head) { return 3 * head; };
        k = [](std::size_t head) { return 3 * head + 1; };
        v = [](std::size_t head) { return 3 * head + 2; };
      }
      keys.push_back(turned(heads_of(fused, kv_heads, k), position));
      values.push_back(heads_of(fused, kv_heads, v));
      const Row mixed = attend(turned(heads_of(fused, heads, q), position), keys, values, 0);
      const Row input = x[position];
      add(x[position], linear(mixed, prefix + "self_attention.dense"));
      const Row mlp_input = two_norms  ? layer_norm(input, prefix + "ln_mlp")
                            : parallel ? normed
                                       : layer_norm(x[position], prefix + "post_attention_layernorm");
      add(x[position], falcon_mlp(mlp_input, prefix + "mlp."));
    }
  }

  static void add(Row& to, const Row& from) {
    std::transform(to.begin(), to.end(), from.begin(), to.begin(), std::plus<>());
  }
};

} // namespace

std::vector<float> naive_logits(const nlohmann::json& config, const TinyWeights& weights,
                                std::span<const std::int32_t> ids, const NaiveOptions& options) {
  const Naive naive{config, weights, options};
  const bool falcon = config.at("model_type") == "falcon";
  const std::string embedding_name = falcon ? "transformer.word_embeddings" : "model.embed_tokens";
  const std::vector<float>& embedding = weights.at(embedding_name + ".weight").values;
  const std::ptrdiff_t hidden = config.at("hidden_size");
  Rows x;
  for (const std::int32_t id : ids) {
    const auto row = embedding.begin() + id * hidden;
    x.emplace_back(row, row + hidden);
  }
  for (std::size_t layer = 0; layer < options.windows.size(); ++layer) {
    falcon ? naive.falcon_layer(x, layer) : naive.layer(x, layer);
  }
  std::vector<float> logits;
  for (const Row& row : x) {
    const bool tied = config.value("tie_word_embeddings", falcon);
    const Row normed = falcon ? naive.layer_norm(row, "transformer.ln_f") : naive.norm(row, "model.norm");
    const Row out = naive.linear(normed, tied ? embedding_name : "lm_head");
    logits.insert(logits.end(), out.begin(), out.end());
  }
  return logits;
}

} // namespace tessera::test
