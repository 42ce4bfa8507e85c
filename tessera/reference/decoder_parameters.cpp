#include "tessera/reference/decoder_parameters.hpp"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

namespace tessera::reference {
namespace {

/// Collects the parameters of one layer, or those outside.
struct Collector {
  const DecoderDescription& model;
  std::vector<Parameter> list;

  void linear(const std::string& name, std::int64_t rows, std::int64_t columns, bool bias, LinearWeights& weights) {
    Parameter weight{name + ".weight", {rows, columns}, &weights.weight};
    if (model.transposed) {
      weight.shape = {columns, rows};
      weight.transposed = true;
    }
    list.push_back(std::move(weight));
    if (bias) list.push_back({name + ".bias", {rows}, &weights.bias});
  }
  void norm(const std::string& name, NormWeights& weights) {
    list.push_back({name + ".weight", {model.hidden}, &weights.weight});
    if (model.norm == NormKind::LAYER) {
      list.push_back({name + ".bias", {model.hidden}, &weights.bias, /*may_be_absent=*/true});
    }
  }

  void attention(const WeightNames& names, const std::string& prefix, LayerWeights& weights) {
    const std::int64_t query_width = model.query_heads * model.head_dim, kv_width = model.kv_heads * model.head_dim;
    if (model.projections == Projections::SEPARATE) {
      linear(prefix + names.q, query_width, model.hidden, model.qkv_bias, weights.q);
      linear(prefix + names.k, kv_width, model.hidden, model.qkv_bias, weights.k);
      linear(prefix + names.v, kv_width, model.hidden, model.qkv_bias, weights.v);
    } else {
      linear(prefix + names.qkv, query_width + 2 * kv_width, model.hidden, model.qkv_bias, weights.qkv);
    }
    if (model.head_norms) {
      list.push_back({prefix + names.q_norm + ".weight", {model.head_dim}, &weights.q_norm.weight});
      list.push_back({prefix + names.k_norm + ".weight", {model.head_dim}, &weights.k_norm.weight});
    }
    linear(prefix + names.o, model.hidden, query_width, model.output_bias, weights.o);
  }

  void mlp(const WeightNames& names, const std::string& prefix, LayerWeights& weights) {
    const std::int64_t width = model.mlp_hidden;
    if (model.fused_gate) {
      linear(prefix + names.gate_up, 2 * width, model.hidden, model.mlp_bias, weights.gate_up);
    } else {
      if (model.gated_mlp) linear(prefix + names.gate, width, model.hidden, model.mlp_bias, weights.gate);
      linear(prefix + names.up, width, model.hidden, model.mlp_bias, weights.up);
    }
    linear(prefix + names.down, model.hidden, width, model.mlp_bias, weights.down);
  }

  void mixture(const WeightNames& names, const std::string& prefix, LayerWeights& weights) {
    linear(prefix + names.router, model.experts, model.hidden, false, weights.router);
    weights.experts.resize(static_cast<std::size_t>(model.experts));
    for (std::int64_t expert = 0; expert < model.experts; ++expert) {
      const std::string name = fmt::format("{}{}.{}.", prefix, names.experts, expert);
      ExpertWeights& own = weights.experts[static_cast<std::size_t>(expert)];
      linear(name + "w1", model.mlp_hidden, model.hidden, false, own.gate);
      linear(name + "w3", model.mlp_hidden, model.hidden, false, own.up);
      linear(name + "w2", model.hidden, model.mlp_hidden, false, own.down);
    }
  }
};

WeightNames full_names(const DecoderDescription& model) {
  if (model.model_type == "falcon") {
    const bool two_parallel_norms = model.parallel_residual && model.mlp_norm;
    return {.embedding = "transformer.word_embeddings",
            .layers = "transformer.h.",
            .input_norm = two_parallel_norms ? "ln_attn" : "input_layernorm",
            .post_attention_norm = two_parallel_norms ? "ln_mlp" : "post_attention_layernorm",
            .qkv = "self_attention.query_key_value",
            .o = "self_attention.dense",
            .up = "mlp.dense_h_to_4h",
            .down = "mlp.dense_4h_to_h",
            .final_norm = "transformer.ln_f",
            .lm_head = "lm_head"};
  }
  if (model.model_type == "gpt2") {
    return {.embedding = "transformer.wte",
            .positions = "transformer.wpe",
            .layers = "transformer.h.",
            .input_norm = "ln_1",
            .post_attention_norm = "ln_2",
            .qkv = "attn.c_attn",
            .o = "attn.c_proj",
            .up = "mlp.c_fc",
            .down = "mlp.c_proj",
            .final_norm = "transformer.ln_f",
            .lm_head = "lm_head"};
  }
  WeightNames names{.embedding = "model.embed_tokens",
                    .layers = "model.layers.",
                    .input_norm = "input_layernorm",
                    .post_attention_norm = "post_attention_layernorm",
                    .q = "self_attn.q_proj",
                    .k = "self_attn.k_proj",
                    .v = "self_attn.v_proj",
                    .qkv = "self_attn.qkv_proj",
                    .q_norm = "self_attn.q_norm",
                    .k_norm = "self_attn.k_norm",
                    .o = "self_attn.o_proj",
                    .gate = "mlp.gate_proj",
                    .up = "mlp.up_proj",
                    .gate_up = "mlp.gate_up_proj",
                    .down = "mlp.down_proj",
                    .router = "block_sparse_moe.gate",
                    .experts = "block_sparse_moe.experts",
                    .final_norm = "model.norm",
                    .lm_head = "lm_head"};
  if (model.output_norms) { // Gemma 2's post_attention_layernorm is the attention's own
    names.attention_output_norm = "post_attention_layernorm";
    names.post_attention_norm = "pre_feedforward_layernorm";
    names.mlp_output_norm = "post_feedforward_layernorm";
  }
  return names;
}

} // namespace

WeightNames weight_names(const DecoderDescription& model) {
  WeightNames names = full_names(model);
  if (!model.bare_names) return names;
  for (std::string* name : {&names.embedding, &names.positions, &names.layers, &names.final_norm}) {
    name->erase(0, name->find('.') + 1);
  }
  return names;
}

std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights) {
  const WeightNames names = weight_names(model);
  const std::string prefix = fmt::format("{}{}.", names.layers, layer);
  Collector all{model, {}};
  all.norm(prefix + names.input_norm, weights.input_norm);
  all.attention(names, prefix, weights);
  if (model.output_norms) all.norm(prefix + names.attention_output_norm, weights.attention_output_norm);
  if (model.mlp_norm) all.norm(prefix + names.post_attention_norm, weights.post_attention_norm);
  if (model.experts > 0) {
    all.mixture(names, prefix, weights);
  } else {
    all.mlp(names, prefix, weights);
  }
  if (model.output_norms) all.norm(prefix + names.mlp_output_norm, weights.mlp_output_norm);
  return std::move(all.list);
}

std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights) {
  const WeightNames names = weight_names(model);
  Collector all{model, {}};
  all.list.push_back({names.embedding + ".weight", {model.vocabulary, model.hidden}, &weights.embedding});
  if (model.positions == Positions::TABLE) {
    all.list.push_back({names.positions + ".weight", {model.max_positions, model.hidden}, &weights.positions});
  }
  all.norm(names.final_norm, weights.final_norm);
  if (!model.tied) {
    all.list.push_back({names.lm_head + ".weight", {model.vocabulary, model.hidden}, &weights.lm_head});
  }
  return std::move(all.list);
}

} // namespace tessera::reference
