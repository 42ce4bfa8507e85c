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

} // namespace

std::vector<Parameter> layer_parameters(const DecoderDescription& model, std::int64_t layer, LayerWeights& weights) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const std::int64_t query_width = model.query_heads * model.head_dim, kv_width = model.kv_heads * model.head_dim;
  std::vector<Parameter> list;
  list.push_back({prefix + "input_layernorm.weight", {model.hidden}, &weights.input_norm});
  add_linear(list, prefix + "self_attn.q_proj", query_width, model.hidden, model.qkv_bias, weights.q);
  add_linear(list, prefix + "self_attn.k_proj", kv_width, model.hidden, model.qkv_bias, weights.k);
  add_linear(list, prefix + "self_attn.v_proj", kv_width, model.hidden, model.qkv_bias, weights.v);
  add_linear(list, prefix + "self_attn.o_proj", model.hidden, query_width, model.output_bias, weights.o);
  list.push_back({prefix + "post_attention_layernorm.weight", {model.hidden}, &weights.post_attention_norm});
  add_linear(list, prefix + "mlp.gate_proj", model.mlp_hidden, model.hidden, model.mlp_bias, weights.gate);
  add_linear(list, prefix + "mlp.up_proj", model.mlp_hidden, model.hidden, model.mlp_bias, weights.up);
  add_linear(list, prefix + "mlp.down_proj", model.hidden, model.mlp_hidden, model.mlp_bias, weights.down);
  return list;
}

std::vector<Parameter> outer_parameters(const DecoderDescription& model, OuterWeights& weights) {
  std::vector<Parameter> list;
  list.push_back({"model.embed_tokens.weight", {model.vocabulary, model.hidden}, &weights.embedding});
  list.push_back({"model.norm.weight", {model.hidden}, &weights.final_norm});
  if (!model.tied) list.push_back({"lm_head.weight", {model.vocabulary, model.hidden}, &weights.lm_head});
  return list;
}

} // namespace tessera::reference
