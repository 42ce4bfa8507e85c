#include "tessera/bringup/ops/op_calls.hpp"
#include "tessera/ops/conv/conv2d.hpp"
#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/pool/pool2d.hpp"
#include "tessera/ops/pool/upsample.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"

// Attention and caches; convolutions and pools.

namespace tessera::bringup {
namespace {

using tensor::Tensor;

ops::AttentionOptions attention_options(const OpCall& call) {
  return {.scale = static_cast<float>(call.number("scale")),
          .sliding_window_size = call.integer("sliding_window_size"),
          .softcap = static_cast<float>(call.number_or("softcap", 0.0)),
          .key_bias = call.input("key_bias"),
          .attn_mask = call.input("attn_mask"),
          .is_causal = call.flag("is_causal"),
          .compute_kernel_config = call.compute()};
}

OpOutputs prefill_attention(const OpCall& call) {
  return {ops::scaled_dot_product_attention(call.input("input_tensor_q"), call.input("input_tensor_k"),
                                            call.input("input_tensor_v"), attention_options(call))};
}

OpOutputs decode_attention(const OpCall& call) {
  return {ops::paged_scaled_dot_product_attention_decode(call.input("input_tensor_q"), call.input("input_tensor_k"),
                                                         call.input("input_tensor_v"), call.input("cur_pos_tensor"),
                                                         call.input("page_table_tensor"), attention_options(call))};
}

OpOutputs rotary(const OpCall& call) {
  return {ops::rotary_embedding_llama(call.input("input_tensor"), call.input("cos"), call.input("sin"),
                                      call.flag("is_decode_mode"))};
}

OpOutputs fill_cache(const OpCall& call) {
  const Tensor cache = call.input("cache_tensor");
  const Tensor user = call.input("batch_idx_tensor");
  if (user.defined())
    ops::paged_fill_cache(cache, call.input("input_tensor"), call.input("page_table"), user);
  else
    ops::paged_fill_cache(cache, call.input("input_tensor"), call.input("page_table"), call.integer("batch_idx"));
  return {cache};
}

OpOutputs update_cache(const OpCall& call) {
  const Tensor cache = call.input("cache_tensor");
  ops::paged_update_cache(cache, call.input("input_tensor"), call.input("update_idxs_tensor"),
                          call.input("page_table"));
  return {cache};
}

constexpr OpEntry kAttention[] = {{"scaled_dot_product_attention", prefill_attention},
                                  {"paged_scaled_dot_product_attention_decode", decode_attention},
                                  {"rotary_embedding_llama", rotary},
                                  {"paged_fill_cache", fill_cache},
                                  {"paged_update_cache", update_cache}};

ops::Extent2d extent_of(const OpCall& call, std::string_view name) {
  const auto extent = call.extent(name);
  return {extent[0], extent[1]};
}

OpOutputs conv2d(const OpCall& call) {
  return {ops::conv2d(call.input("input_tensor"), call.input("weight_tensor"),
                      {.in_channels = call.integer("in_channels"),
                       .out_channels = call.integer("out_channels"),
                       .batch_size = call.integer("batch_size"),
                       .input_height = call.integer("input_height"),
                       .input_width = call.integer("input_width"),
                       .kernel_size = extent_of(call, "kernel_size"),
                       .stride = extent_of(call, "stride"),
                       .padding = extent_of(call, "padding"),
                       .dilation = extent_of(call, "dilation"),
                       .groups = call.integer("groups"),
                       .bias_tensor = call.input("bias_tensor"),
                       .residual = call.input("residual"),
                       .activation = activation_of(call.text("activation")),
                       .dtype = call.output().dtype,
                       .memory_config = {},
                       .compute_kernel_config = call.compute(),
                       .shard_layout = {}})};
}

ops::Pool2dOptions pool_options(const OpCall& call) {
  return {.batch_size = call.integer("batch_size"),
          .input_height = call.integer("input_height"),
          .input_width = call.integer("input_width"),
          .channels = call.integer("channels"),
          .kernel_size = extent_of(call, "kernel_size"),
          .stride = extent_of(call, "stride"),
          .padding = extent_of(call, "padding"),
          .dilation = extent_of(call, "dilation"),
          .ceil_mode = call.flag("ceil_mode"),
          .count_include_pad = true,
          .divisor_override = {},
          .dtype = call.output().dtype,
          .memory_config = {},
          .shard_layout = {}};
}

OpOutputs max_pool2d(const OpCall& call) {
  return {ops::max_pool2d(call.input("input_tensor"), pool_options(call))};
}

OpOutputs avg_pool2d(const OpCall& call) {
  ops::Pool2dOptions options = pool_options(call);
  options.count_include_pad = call.flag("count_include_pad");
  if (call.integer("divisor_override") != 0) options.divisor_override = call.integer("divisor_override");
  return {ops::avg_pool2d(call.input("input_tensor"), options)};
}

OpOutputs global_avg_pool2d(const OpCall& call) {
  return {ops::global_avg_pool2d(
      call.input("input_tensor"),
      {.batch_size = call.integer("batch_size"), .dtype = call.output().dtype, .memory_config = {}})};
}

OpOutputs upsample(const OpCall& call) {
  return {
      ops::upsample(call.input("input_tensor"),
                    {.batch_size = call.integer("batch_size"),
                     .input_height = call.integer("input_height"),
                     .input_width = call.integer("input_width"),
                     .scale_factor = extent_of(call, "scale_factor"),
                     .mode = call.text("mode") == "bilinear" ? ops::UpsampleMode::BILINEAR : ops::UpsampleMode::NEAREST,
                     .dtype = call.output().dtype,
                     .memory_config = {}})};
}

constexpr OpEntry kImages[] = {{"conv2d", conv2d},
                               {"max_pool2d", max_pool2d},
                               {"avg_pool2d", avg_pool2d},
                               {"global_avg_pool2d", global_avg_pool2d},
                               {"upsample", upsample}};

} // namespace

std::span<const OpEntry> attention_calls() {
  return kAttention;
}

std::span<const OpEntry> image_calls() {
  return kImages;
}

} // namespace tessera::bringup
