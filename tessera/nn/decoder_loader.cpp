#include "tessera/nn/decoder_loader.hpp"

#include <fmt/format.h>

namespace tessera::nn {

using Range = TensorParallel::Range;

DecoderLoader::DecoderLoader(const DecoderConfig& config, const DecoderNames& names, const Precision& precision,
                             const TensorParallel& parallel, const WeightLoader& weights)
    : config_(config), names_(names), precision_(precision), parallel_(parallel), weights_(weights) {}

Tensor DecoderLoader::embedding() const {
  const std::string name = names_.embedding + ".weight";
  const HostRows table = weights_.rows(name, config_.vocab_size, config_.hidden_size);
  return weights_.table(parallel_.of_chips([&](std::int64_t chip) {
    return part_of(table, {0, config_.vocab_size}, parallel_.residual(chip));
  }),
                        weights_.format(precision_.embedding, {name}), "embedding", parallel_.residual_sharing());
}

RmsNorm DecoderLoader::norm(const std::string& name) const {
  const HostRows vector = weights_.rows(name + ".weight", 1, config_.hidden_size);
  return {weights_.vector(parallel_.of_chips([&](std::int64_t chip) {
            return part_of(vector, {0, 1}, parallel_.residual(chip));
          }),
                          weights_.format(precision_.norm, {name + ".weight"}), "norm", parallel_.residual_sharing()),
          static_cast<float>(config_.norm_epsilon)};
}

RmsNorm DecoderLoader::final_norm() const {
  return norm(names_.final_norm);
}

Linear DecoderLoader::column_parallel(const std::string& name, std::int64_t out, bool bias, DataType dtype,
                                      std::string_view label) const {
  const HostRows matrix = weights_.rows(name + ".weight", out, config_.hidden_size);
  Linear linear;
  linear.weight = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    return part_of(matrix, parallel_.shared(chip, out), parallel_.input(chip));
  }),
                                         weights_.format(dtype, {name + ".weight"}), label);
  if (!bias) return linear;
  const HostRows column = as_column(weights_.rows(name + ".bias", 1, out));
  linear.bias = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    const HostRows part = part_of(column, parallel_.shared(chip, out), {0, 1});
    return parallel_.first_of_head_part(chip) ? part : zeros_like(part);
  }),
                                       weights_.format(precision_.norm, {name + ".bias"}), label);
  return linear;
}

template <typename RangeOfChip>
Linear DecoderLoader::row_parallel(const std::string& name, std::int64_t in, const RangeOfChip& range, bool bias,
                                   DataType dtype, std::string_view label) const {
  const HostRows matrix = weights_.rows(name + ".weight", config_.hidden_size, in);
  Linear linear;
  linear.weight = weights_.matmul_weight(
      parallel_.of_chips([&](std::int64_t chip) { return part_of(matrix, parallel_.input(chip), range(chip)); }),
      weights_.format(dtype, {name + ".weight"}), label);
  if (!bias) return linear;
  const HostRows column = as_column(weights_.rows(name + ".bias", 1, config_.hidden_size));
  linear.bias = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    const HostRows part = part_of(column, parallel_.input(chip), {0, 1});
    return parallel_.first_of_hidden_part(chip) ? part : zeros_like(part);
  }),
                                       weights_.format(precision_.norm, {name + ".bias"}), label);
  return linear;
}

/// Q, K and V as one projection, Q and K in the interleaved rotary order; each chip has its heads of all three.
Linear DecoderLoader::wqkv(std::int64_t layer, DataType dtype) const {
  struct Projection {
    std::string name;
    std::int64_t heads;
    bool rotated;
  };
  const Projection projections[] = {{names_.of_layer(layer, names_.q), config_.heads, true},
                                    {names_.of_layer(layer, names_.k), config_.kv_heads, true},
                                    {names_.of_layer(layer, names_.v), config_.kv_heads, false}};
  std::vector<HostRows> matrices;
  std::vector<HostRows> biases; // columns as rows: a bias of N values is N rows of one
  std::vector<std::string> matrix_names;
  std::vector<std::string> bias_names;
  for (const Projection& projection : projections) {
    const std::int64_t width = projection.heads * config_.head_dim;
    const auto ordered = [&](HostRows rows) {
      return projection.rotated ? interleave_rotary(std::move(rows), config_.head_dim) : rows;
    };
    matrix_names.push_back(projection.name + ".weight");
    matrices.push_back(ordered(weights_.rows(matrix_names.back(), width, config_.hidden_size)));
    if (!config_.qkv_bias) continue;
    bias_names.push_back(projection.name + ".bias");
    biases.push_back(ordered(as_column(weights_.rows(bias_names.back(), 1, width))));
  }
  const auto heads_of_chip = [&](const std::vector<HostRows>& all, std::int64_t chip, Range columns) {
    std::vector<HostRows> parts;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Range heads = parallel_.heads(chip, projections[i].heads);
      parts.push_back(part_of(all[i], {heads.first * config_.head_dim, heads.count * config_.head_dim}, columns));
    }
    return concat_rows(std::move(parts));
  };
  Linear linear;
  linear.weight = weights_.matmul_weight(
      parallel_.of_chips([&](std::int64_t chip) { return heads_of_chip(matrices, chip, parallel_.input(chip)); }),
      weights_.format(dtype, matrix_names), "wqkv");
  if (!config_.qkv_bias) return linear;
  linear.bias = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    const HostRows part = heads_of_chip(biases, chip, {0, 1});
    return parallel_.first_of_head_part(chip) ? part : zeros_like(part);
  }),
                                       weights_.format(precision_.norm, bias_names), "wqkv.bias");
  return linear;
}

DecoderLayer DecoderLoader::layer(std::int64_t number) const {
  const runtime::Scope scope(weights_.device(), fmt::format("layers.{}", number));
  const LayerPrecision& formats = precision_.of_layer(number);
  const auto name = [&](const std::string& part) { return names_.of_layer(number, part); };
  const std::int64_t f = config_.intermediate_size;
  const auto heads_of_chip = [&](std::int64_t chip) {
    const Range heads = parallel_.heads(chip, config_.heads);
    return Range{heads.first * config_.head_dim, heads.count * config_.head_dim};
  };
  const auto part_of_mlp = [&](std::int64_t chip) { return parallel_.shared(chip, f); };
  const Attention::Shape shape{parallel_.heads(0, config_.heads).count, parallel_.heads(0, config_.kv_heads).count,
                               config_.head_dim, config_.sliding_window[static_cast<std::size_t>(number)]};
  return {
      .input_norm = norm(name(names_.input_norm)),
      .attention = Attention(
          shape, wqkv(number, formats.wqkv),
          row_parallel(name(names_.o), config_.attention_width(), heads_of_chip, config_.o_bias, formats.wo, "wo")),
      .post_attention_norm = norm(name(names_.post_attention_norm)),
      .mlp = {.w1 = column_parallel(name(names_.gate), f, config_.mlp_bias, formats.ff1_3, "w1"),
              .w3 = column_parallel(name(names_.up), f, config_.mlp_bias, formats.ff1_3, "w3"),
              .w2 = row_parallel(name(names_.down), f, part_of_mlp, config_.mlp_bias, formats.ff2, "w2")},
  };
}

Linear DecoderLoader::lm_head() const {
  const std::string& name = config_.tied_embeddings ? names_.embedding : names_.lm_head;
  return column_parallel(name, config_.vocab_size, false, precision_.lm_head, "lm_head");
}

} // namespace tessera::nn
