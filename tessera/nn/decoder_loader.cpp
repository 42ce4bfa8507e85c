#include "tessera/nn/decoder_loader.hpp"

#include <fmt/format.h>

namespace tessera::nn {

using Range = TensorParallel::Range;

DecoderLoader::DecoderLoader(const DecoderConfig& config, const DecoderNames& names, const Precision& precision,
                             const TensorParallel& parallel, const WeightLoader& weights)
    : config_(config), names_(names), precision_(precision), parallel_(parallel), weights_(weights) {}

Tensor DecoderLoader::table(const std::string& name, std::int64_t rows, std::int64_t table_rows,
                            std::string_view label) const {
  const HostRows table = weights_.rows(name, rows, config_.hidden_size);
  return weights_.table(parallel_.of_chips([&](std::int64_t chip) {
    return part_of(table, {0, table_rows}, parallel_.residual(chip));
  }),
                        weights_.format(precision_.embedding, {name}), label, parallel_.residual_sharing());
}

Tensor DecoderLoader::embedding() const {
  return table(names_.embedding + ".weight", config_.vocab_size, config_.vocab_size, "embedding");
}

Tensor DecoderLoader::position_embedding() const {
  if (config_.positions != PositionKind::LEARNED) return {};
  // Traces of prefill have rows behind the prompt's.
  return table(names_.position_embedding + ".weight", config_.max_positions,
               round_up(config_.max_positions, kTileHeight), "position_embedding");
}

DataType DecoderLoader::norm_format(const std::string& name) const {
  // 1 + w has more digits than a stored w.
  const bool widened = config_.norm_weight_offset != 0.0 && precision_.weights_as_stored;
  return widened ? DataType::FLOAT32 : weights_.format(precision_.norm, {name});
}

Norm DecoderLoader::norm(const std::string& name) const {
  const auto vector = [&](const std::string& part, const HostRows& rows) {
    return weights_.vector(parallel_.of_chips([&](std::int64_t chip) {
      return part_of(rows, {0, 1}, parallel_.residual(chip));
    }),
                           norm_format(name + part), "norm", parallel_.residual_sharing());
  };
  HostRows weight = weights_.rows(name + ".weight", 1, config_.hidden_size);
  if (config_.norm_weight_offset != 0.0)
    weight = raised(std::move(weight), static_cast<float>(config_.norm_weight_offset));
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

/// Of a head, the same on every chip; in interleaved rotary order, as the projections are.
Tensor DecoderLoader::head_norm(const std::string& name) const {
  HostRows weight = transposed(weights_.rows(name + ".weight", 1, config_.head_dim));
  if (config_.norm_weight_offset != 0.0)
    weight = raised(std::move(weight), static_cast<float>(config_.norm_weight_offset));
  weight = interleave_rotary(std::move(weight), config_.head_dim, config_.rope.turned(config_.head_dim));
  const HostRows row = transposed(std::move(weight));
  return weights_.vector(parallel_.of_chips([&](std::int64_t) { return row; }), norm_format(name + ".weight"), "norm",
                         {.divisor = 1, .modulus = 1});
}

HostRows DecoderLoader::matrix(const std::string& name, std::int64_t out, std::int64_t in) const {
  return config_.transposed_linears ? transposed(weights_.rows(name + ".weight", in, out))
                                    : weights_.rows(name + ".weight", out, in);
}

HostRows DecoderLoader::bias(const std::string& name, std::int64_t out) const {
  return transposed(weights_.rows(name + ".bias", 1, out));
}

Linear DecoderLoader::column_parallel(const HostRows& matrix, const HostRows* bias, const std::string& name,
                                      DataType dtype, std::string_view label) const {
  const std::int64_t out = matrix.rows;
  Linear linear;
  linear.weight = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    return part_of(matrix, parallel_.shared(chip, out), parallel_.input(chip));
  }),
                                         weights_.format(dtype, {name + ".weight"}), label);
  if (bias == nullptr) return linear;
  linear.bias = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    const HostRows part = part_of(*bias, parallel_.shared(chip, out), {0, 1});
    return parallel_.first_of_head_part(chip) ? part : zeros_like(part);
  }),
                                       weights_.format(precision_.norm, {name + ".bias"}), label);
  return linear;
}

template <typename RangeOfChip>
Linear DecoderLoader::row_parallel(const std::string& name, std::int64_t in, const RangeOfChip& range, bool bias,
                                   DataType dtype, std::string_view label) const {
  const HostRows matrix = this->matrix(name, config_.hidden_size, in);
  Linear linear;
  linear.weight = weights_.matmul_weight(
      parallel_.of_chips([&](std::int64_t chip) { return part_of(matrix, parallel_.input(chip), range(chip)); }),
      weights_.format(dtype, {name + ".weight"}), label);
  if (!bias) return linear;
  const HostRows column = this->bias(name, config_.hidden_size);
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
  const auto same = [](std::int64_t head) { return head; };
  if (config_.qkv == QkvLayout::SEPARATE) {
    return {{name(names_.q), q, true, q, same},
            {name(names_.k), kv, true, kv, same},
            {name(names_.v), kv, false, kv, same}};
  }
  const std::string fused = name(names_.qkv);
  if (config_.qkv == QkvLayout::STACKED) {
    return {{fused, q, true, q + 2 * kv, same},
            {fused, kv, true, q + 2 * kv, [q](std::int64_t head) { return q + head; }},
            {fused, kv, false, q + 2 * kv, [q, kv](std::int64_t head) { return q + kv + head; }}};
  }
  const std::int64_t group = q / kv;
  const auto query = [group](std::int64_t head) { return head / group * (group + 2) + head % group; };
  const auto key = [group](std::int64_t head) { return head * (group + 2) + group; };
  const auto value = [group](std::int64_t head) { return head * (group + 2) + group + 1; };
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
      const bool turned = projection.rotated && config_.positions == PositionKind::ROTARY;
      return turned ? interleave_rotary(std::move(rows), head_dim, config_.rope.turned(head_dim)) : rows;
    };
    matrix_names.push_back(projection.name + ".weight");
    matrices.push_back(ordered(matrix(projection.name, width, config_.hidden_size)));
    if (!config_.qkv_bias) continue;
    bias_names.push_back(projection.name + ".bias");
    biases.push_back(ordered(bias(projection.name, width)));
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

Attention DecoderLoader::attention(std::int64_t number, const LayerPrecision& formats) const {
  const auto name = [&](const std::string& part) { return names_.of_layer(number, part); };
  const auto heads_of_chip = [&](std::int64_t chip) {
    const Range heads = parallel_.heads(chip, config_.heads);
    return Range{heads.first * config_.head_dim, heads.count * config_.head_dim};
  };
  const double scale = config_.scale() / (config_.scale_by_inverse_layer ? static_cast<double>(number + 1) : 1.0);
  const Attention::Shape shape{.heads = parallel_.heads(0, config_.heads).count,
                               .kv_heads = parallel_.heads(0, config_.kv_heads).count,
                               .head_dim = config_.head_dim,
                               .sliding_window = config_.sliding_window[static_cast<std::size_t>(number)],
                               .scale = static_cast<float>(scale),
                               .softcap = static_cast<float>(config_.attention_softcap),
                               .compute = formats.sdpa};
  Linear qkv = wqkv(number, formats.wqkv);
  qkv.compute = formats.li_qkv;
  Attention::HeadNorms norms{.epsilon = static_cast<float>(config_.norm_epsilon)};
  if (config_.qk_norm) {
    norms.q = head_norm(name(names_.q_norm));
    norms.k = head_norm(name(names_.k_norm));
  }
  Linear wo = row_parallel(name(names_.o), config_.attention_width(), heads_of_chip, config_.o_bias, formats.wo, "wo");
  wo.compute = formats.li_o;
  return {shape, std::move(qkv), std::move(norms), std::move(wo)};
}

Mlp DecoderLoader::mlp(std::int64_t number, const LayerPrecision& formats) const {
  const std::int64_t width = config_.intermediate_size;
  // The projection of `stored` outputs in the file, of which rows `first` to `first + width` are this one.
  const auto into = [&](const std::string& part, std::int64_t stored, std::int64_t first, std::string_view label) {
    const std::string name = names_.of_layer(number, part);
    const Range rows{first, width};
    const HostRows weights = part_of(matrix(name, stored, config_.hidden_size), rows, {0, config_.hidden_size});
    if (!config_.mlp_bias) return column_parallel(weights, nullptr, name, formats.ff1_3, label);
    const HostRows biases = part_of(bias(name, stored), rows, {0, 1});
    return column_parallel(weights, &biases, name, formats.ff1_3, label);
  };
  const bool fused = config_.fused_gate_up;
  const std::int64_t stored = fused ? 2 * width : width;
  Mlp mlp{.activation = config_.activation};
  if (config_.gated_mlp) mlp.w1 = into(fused ? names_.gate_up : names_.gate, stored, 0, "w1");
  mlp.w3 = into(fused ? names_.gate_up : names_.up, stored, fused ? width : 0, "w3");
  const auto part_of_chip = [&](std::int64_t chip) { return parallel_.shared(chip, width); };
  mlp.w2 = row_parallel(names_.of_layer(number, names_.down), width, part_of_chip, config_.mlp_bias, formats.ff2, "w2");
  mlp.w1.compute = mlp.w3.compute = formats.li_ff1_3;
  mlp.w2.compute = formats.li_ff2;
  return mlp;
}

Experts DecoderLoader::experts(std::int64_t number, const LayerPrecision& formats) const {
  const std::int64_t width = config_.intermediate_size;
  Experts experts{.per_token = config_.experts.per_token,
                  .activation = config_.activation,
                  .compute_ff1_3 = formats.li_ff1_3,
                  .compute_ff2 = formats.li_ff2};
  const std::string router = names_.of_layer(number, names_.router);
  const HostRows rows = matrix(router, config_.experts.count, config_.hidden_size);
  // In the format of the norms: a rounded router would choose others.
  experts.router.weight = weights_.matmul_weight(parallel_.of_chips([&](std::int64_t chip) {
    return part_of(rows, {0, config_.experts.count}, parallel_.input(chip));
  }),
                                                 weights_.format(precision_.norm, {router + ".weight"}), "router");
  const auto part_of_chip = [&](std::int64_t chip) { return parallel_.shared(chip, width); };
  for (std::int64_t expert = 0; expert < config_.experts.count; ++expert) {
    const auto into = [&](const std::string& part, std::string_view label) {
      const std::string name = names_.of_expert(number, expert, part);
      return column_parallel(matrix(name, width, config_.hidden_size), nullptr, name, formats.ff1_3, label).weight;
    };
    experts.w1.push_back(into(names_.expert_gate, "w1"));
    experts.w3.push_back(into(names_.expert_up, "w3"));
    const std::string down = names_.of_expert(number, expert, names_.expert_down);
    experts.w2.push_back(row_parallel(down, width, part_of_chip, false, formats.ff2, "w2").weight);
  }
  return experts;
}

DecoderLayer DecoderLoader::layer(std::int64_t number) const {
  const runtime::Scope scope(weights_.device(), fmt::format("layers.{}", number));
  const LayerPrecision& formats = precision_.of_layer(number);
  const auto norm_if = [&](bool wanted, const std::string& part) {
    return wanted ? norm(names_.of_layer(number, part)) : Norm();
  };
  return {
      .input_norm = norm_if(true, names_.input_norm),
      .attention = attention(number, formats),
      .attention_output_norm = norm_if(config_.output_norms, names_.attention_output_norm),
      .post_attention_norm = norm_if(config_.mlp_norm, names_.post_attention_norm),
      .mlp = config_.experts.count == 0 ? mlp(number, formats) : Mlp(),
      .experts = config_.experts.count > 0 ? experts(number, formats) : Experts(),
      .mlp_output_norm = norm_if(config_.output_norms, names_.mlp_output_norm),
      .parallel_residual = config_.parallel_residual,
  };
}

Linear DecoderLoader::lm_head() const {
  const std::string& name = config_.tied_embeddings ? names_.embedding : names_.lm_head;
  const HostRows matrix = weights_.rows(name + ".weight", config_.vocab_size, config_.hidden_size);
  return column_parallel(matrix, nullptr, name, precision_.lm_head, "lm_head");
}

} // namespace tessera::nn
