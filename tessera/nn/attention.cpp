#include "tessera/nn/attention.hpp"

#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"

namespace tessera::nn {
Attention::Attention(const Shape& shape, Linear wqkv, HeadNorms norms, Linear wo)
    : shape_(shape), wqkv_(std::move(wqkv)), norms_(std::move(norms)), wo_(std::move(wo)) {}

ops::AttentionOptions Attention::options(const ForwardContext& context) const {
  return {.scale = shape_.scale,
          .sliding_window_size = shape_.sliding_window,
          .softcap = shape_.softcap,
          .key_bias = context.key_bias,
          .compute_kernel_config = context.of_phase(shape_.compute)};
}

tensor::Tensor Attention::placed(tensor::Tensor heads, const tensor::Tensor& norm,
                                 const ForwardContext& context) const {
  if (norm.defined()) heads = ops::rms_norm(heads, norm, {.epsilon = norms_.epsilon});
  if (!context.rope.cos.defined()) return heads;
  return ops::rotary_embedding_llama(heads, context.rope.cos, context.rope.sin, context.phase == Phase::DECODE);
}

tensor::Tensor Attention::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  const tensor::Tensor qkv = context.parallel.sum_columns(wqkv_.forward(x, context)); // [1, 1, R, (Hq + 2 Hkv) D]
  const tensor::Tensor heads = context.phase == Phase::DECODE ? decode(qkv, context) : prefill(qkv, context);
  return context.parallel.sum_rows(wo_.forward(heads, context));
}

tensor::Tensor Attention::prefill(const tensor::Tensor& qkv, const ForwardContext& context) const {
  auto [q, k, v] = ops::nlp_create_qkv_heads(qkv, {.num_heads = shape_.heads,
                                                   .num_kv_heads = shape_.kv_heads,
                                                   .memory_config = context.heads_memory_config}); // [1, H, S, D]
  q = placed(q, norms_.q, context);
  k = placed(k, norms_.k, context);
  ops::paged_fill_cache(cache_.keys, k, context.page_table, context.user);
  ops::paged_fill_cache(cache_.values, v, context.page_table, context.user);
  return ops::nlp_concat_heads(ops::scaled_dot_product_attention(q, k, v, options(context)));
}

tensor::Tensor Attention::decode(const tensor::Tensor& qkv, const ForwardContext& context) const {
  auto [q, k, v] =
      ops::nlp_create_qkv_heads_decode(qkv, {.num_heads = shape_.heads,
                                             .num_kv_heads = shape_.kv_heads,
                                             .memory_config = context.heads_memory_config}); // [1, B, H, D]
  q = placed(q, norms_.q, context);
  k = placed(k, norms_.k, context);
  ops::paged_update_cache(cache_.keys, k, context.positions, context.page_table);
  ops::paged_update_cache(cache_.values, v, context.positions, context.page_table);
  return ops::nlp_concat_heads_decode(ops::paged_scaled_dot_product_attention_decode(
      q, cache_.keys, cache_.values, context.positions, context.page_table, options(context)));
}

} // namespace tessera::nn
