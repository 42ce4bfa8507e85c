#include "tessera/reference/decoder_parameters.hpp"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

namespace tessera::reference {
namespace {

void add_linear(std::vector<Parameter>& list, const std::string& name, std::int64_t rows, std::int64_t columns,
                bool bias, LinearWeights& weights) {
  list.push_back({name + ".weight", {rows, columns}, &weights.weight});
  if (bias) list.push_back({name + ".bias", {rows}, &weights.bias});
}

void add_norm(std::vector<Parameter>& list, const std::string& name, const DecoderDescription& model,
              NormWeights& weights) {
  list.push_back({name + ".weight", {model.hidden}, &weights.weight});
  if (model.norm == NormKind::LAYER) {
    list.push_back({name + ".bias", {model.hidden}, &weights.bias, /*may_be_absent=*/true});
  }
}

} // namespace

WeightNames weight_names(const DecoderDescription& model) {
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
  return {.embedding = "model.embed_tokens",
          .layers = "model.layers.",
          .input_norm = "input_layernorm",
          .post_attention_norm = "post_attention_layernorm",
          .q = "self_attn.q_proj",
          .k = "self_attn.k_proj",
          .v = "self_attn.v_proj",
          .o = "self_attn.o_proj",
          .gate = "mlp.gate_proj",
          .up = "mlp.up_proj",
          .down = "mlp.down_proj",
          .final_norm = "model.norm",
          .lm_head = "lm_head"};
}

std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights) {
  const WeightNames names = weight_names(model);
  const std::string prefix = fmt::format("{}{}.", names.layers, layer);
  const std::int64_t query_width = model.query_heads * model.head_dim, kv_width = model.kv_heads * model.head_dim;
  std::vector<Parameter> list;
  const auto add = [&](const std::string& name, std::int64_t rows, std::int64_t columns, bool bias,
                       LinearWeights& linear) { add_linear(list, prefix + name, rows, columns, bias, linear); };
  add_norm(list, prefix + names.input_norm, model, weights.input_norm);
  if (model.fused_qkv) {
    add(names.qkv, query_width + 2 * kv_width, model.hidden, model.qkv_bias, weights.qkv);
  } else {
    add(names.q, query_width, model.hidden, model.qkv_bias, weights.q);
    add(names.k, kv_width, model.hidden, model.qkv_bias, weights.k);
    add(names.v, kv_width, model.hidden, model.qkv_bias, weights.v);
  }
  add(names.o, model.hidden, query_width, model.output_bias, weights.o);
  if (model.mlp_norm) add_norm(list, prefix + names.post_attention_norm, model, weights.post_attention_norm);
  if (model.gated_mlp) add(names.gate, model.mlp_hidden, model.hidden, model.mlp_bias, weights.gate);
  add(names.up, model.mlp_hidden, model.hidden, model.mlp_bias, weights.up);
  add(names.down, model.hidden, model.mlp_hidden, model.mlp_bias, weights.down);
  return list;
}

std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights) {
  const WeightNames names = weight_names(model);
  std::vector<Parameter> list;
  list.push_back({names.embedding + ".weight", {model.vocabulary, model.hidden}, &weights.embedding});
  add_norm(list, names.final_norm, model, weights.final_norm);
  if (!model.tied) list.push_back({names.lm_head + ".weight", {model.vocabulary, model.hidden}, &weights.lm_head});
  return list;
}

} // namespace tessera::reference
