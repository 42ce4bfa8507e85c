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

Norm DecoderLoader::norm(const std::string& name) const {
  const auto vector = [&](const std::string& part, const HostRows& rows) {
    return weights_.vector(parallel_.of_chips([&](std::int64_t chip) {
      return part_of(rows, {0, 1}, parallel_.residual(chip));
    }),
                           weights_.format(precision_.norm, {name + part}), "norm", parallel_.residual_sharing());
  };
  const HostRows weight = weights_.rows(name + ".weight", 1, config_.hidden_size);
  Norm norm{
      .kind = config_.norm, .weight = vector(".weight", weight), .epsilon = static_cast<float>(config_.norm_epsilon)};
  if (config_.norm == NormKind::RMS) return norm;
  // A bias that the file lacks is zero.
  const bool stored = weights_.has(name + ".bias");
  norm.bias = vector(stored ? ".bias" : ".weight",
                     stored ? weights_.rows(name + ".bias", 1, config_.hidden_size) : zeros_like(weight));
  return norm;
}

Norm DecoderLoader::final_norm() const {
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

/// The heads of Q, K or V, and where they stand in the file.
struct DecoderLoader::Projection {
  std::string name;
  std::int64_t heads;
  bool rotated;
  std::int64_t stored_heads;                           // of the tensor in the file
  std::function<std::int64_t(std::int64_t)> stored_at; // number of a head there
};

std::vector<DecoderLoader::Projection> DecoderLoader::projections(std::int64_t layer) const {
  const auto name = [&](const std::string& part) { return names_.of_layer(layer, part); };
  const std::int64_t q = config_.heads;
  const std::int64_t kv = config_.kv_heads;
  if (!config_.fused_qkv) {
    const auto same = [](std::int64_t head) { return head; };
    return {{name(names_.q), q, true, q, same},
            {name(names_.k), kv, true, kv, same},
            {name(names_.v), kv, false, kv, same}};
  }
  const std::int64_t group = q / kv;
  const auto query = [group](std::int64_t head) { return head / group * (group + 2) + head % group; };
  const auto key = [group](std::int64_t head) { return head * (group + 2) + group; };
  const auto value = [group](std::int64_t head) { return head * (group + 2) + group + 1; };
  const std::string fused = name(names_.qkv);
  return {
      {fused, q, true, q + 2 * kv, query}, {fused, kv, true, q + 2 * kv, key}, {fused, kv, false, q + 2 * kv, value}};
}

/// Q, K and V as one projection, Q and K in the interleaved rotary order; each chip has its heads of all three.
Linear DecoderLoader::wqkv(std::int64_t layer, DataType dtype) const {
  const std::vector<Projection> projections = this->projections(layer);
  std::vector<HostRows> matrices;
  std::vector<HostRows> biases; // columns as rows: a bias of N values is N rows of one
  std::vector<std::string> matrix_names;
  std::vector<std::string> bias_names;
  for (const Projection& projection : projections) {
    const std::int64_t head_dim = config_.head_dim;
    const std::int64_t width = projection.stored_heads * head_dim;
    const auto ordered = [&](HostRows rows) {
      if (projection.stored_heads != projection.heads) {
        const std::int64_t columns = rows.columns;
        rows = tensor::pick_rows(
            std::move(rows), projection.heads * head_dim,
            [head_dim, stored_at = projection.stored_at](std::int64_t row) {
              return stored_at(row / head_dim) * head_dim + row % head_dim;
            },
            0, columns);
      }
      return projection.rotated ? interleave_rotary(std::move(rows), head_dim) : rows;
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
      .post_attention_norm = config_.mlp_norm ? norm(name(names_.post_attention_norm)) : Norm(),
      .mlp = {.w1 = config_.gated_mlp ? column_parallel(name(names_.gate), f, config_.mlp_bias, formats.ff1_3, "w1")
                                      : Linear(),
              .w3 = column_parallel(name(names_.up), f, config_.mlp_bias, formats.ff1_3, "w3"),
              .w2 = row_parallel(name(names_.down), f, part_of_mlp, config_.mlp_bias, formats.ff2, "w2"),
              .activation = config_.activation},
      .parallel_residual = config_.parallel_residual,
  };
}

Linear DecoderLoader::lm_head() const {
  const std::string& name = config_.tied_embeddings ? names_.embedding : names_.lm_head;
  return column_parallel(name, config_.vocab_size, false, precision_.lm_head, "lm_head");
}

} // namespace tessera::nn
