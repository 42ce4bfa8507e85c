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

  static void add(Row& to, const Row& from) {
    std::transform(to.begin(), to.end(), from.begin(), to.begin(), std::plus<>());
  }
};

} // namespace

std::vector<float> naive_logits(const nlohmann::json& config, const TinyWeights& weights,
                                std::span<const std::int32_t> ids, const NaiveOptions& options) {
  const Naive naive{config, weights, options};
  const std::vector<float>& embedding = weights.at("model.embed_tokens.weight").values;
  const std::ptrdiff_t hidden = config.at("hidden_size");
  Rows x;
  for (const std::int32_t id : ids) {
    const auto row = embedding.begin() + id * hidden;
    x.emplace_back(row, row + hidden);
  }
  for (std::size_t layer = 0; layer < options.windows.size(); ++layer) naive.layer(x, layer);
  std::vector<float> logits;
  for (const Row& row : x) {
    const bool tied = config.value("tie_word_embeddings", false);
    const Row out = naive.linear(naive.norm(row, "model.norm"), tied ? "model.embed_tokens" : "lm_head");
    logits.insert(logits.end(), out.begin(), out.end());
  }
  return logits;
}

} // namespace tessera::test
