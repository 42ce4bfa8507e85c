#include "tessera/ops/transformer/attention.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/ops/transformer/attention_units.hpp"
#include "tessera/ops/transformer/attention_work.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Number of (query, key) pairs of a causal, perhaps windowed prompt.
std::int64_t causal_pairs(std::int64_t length, std::int64_t window_size) {
  if (window_size <= 0 || window_size >= length) return length * (length + 1) / 2;
  return window_size * (window_size + 1) / 2 + (length - window_size) * window_size;
}

/// `capacity`: keys in whole tiles; `heads` of each of the sequences.
AttentionRule rule_of(std::string_view op, const AttentionOptions& options, std::int64_t sequences, std::int64_t heads,
                      std::int64_t capacity) {
  AttentionRule rule{.scale = options.scale,
                     .softcap = options.softcap,
                     .sliding_window_size = options.sliding_window_size,
                     .is_causal = options.is_causal,
                     .compute = options.compute_kernel_config.value_or(
                         ComputeConfig{.math_fidelity = MathFidelity::HiFi4, .fp32_dest_acc_en = true})};
  rule.compute.math_approx_mode = false;
  const Tensor& mask = options.attn_mask;
  const Tensor& bias = mask.defined() ? mask : options.key_bias;
  if (!bias.defined()) return rule;
  if (mask.defined()) {
    base::require(!options.key_bias.defined() && !options.is_causal,
                  "[{}] attn_mask stands alone: is_causal must be false and key_bias none", op);
    base::require(mask.dtype() == DataType::FLOAT32 && mask.layout() == Layout::ROW_MAJOR &&
                      mask.shape() == Shape{sequences, 1, 1, mask.shape()[-1]} && mask.shape()[-1] >= capacity,
                  "[{}] attn_mask must be FLOAT32 in ROW_MAJOR, [{}, 1, 1, {} or more]; received {}", op, sequences,
                  capacity, mask.spec());
    rule.key_bias = {mask.view(), mask.shape()[-1], heads};
    return rule;
  }
  base::require(bias.dtype() == DataType::FLOAT32 && bias.layout() == Layout::ROW_MAJOR &&
                    bias.shape() == Shape{1, 1, heads, bias.shape()[-1]} && bias.shape()[-1] >= capacity,
                "[{}] key_bias must be FLOAT32 in ROW_MAJOR, [1, 1, {}, {} or more]; received {}", op, heads, capacity,
                bias.spec());
  rule.key_bias = {bias.view(), bias.shape()[-1]};
  return rule;
}

void check_heads(std::string_view op, std::int64_t heads, std::int64_t kv_heads, const AttentionOptions& options) {
  base::require(kv_heads > 0 && heads % kv_heads == 0,
                "[{}] the query heads must be a multiple of the KV heads; received {} and {}", op, heads, kv_heads);
  base::require(options.sliding_window_size >= 0, "[{}] sliding_window_size must be 0 (none) or more; received {}", op,
                options.sliding_window_size);
  base::require(options.softcap >= 0.0F, "[{}] softcap must be 0 (none) or more; received {}", op, options.softcap);
}

Attributes attributes_of(const AttentionOptions& options, const AttentionRule& rule) {
  Attributes attributes{{"math_fidelity", std::string(to_string(rule.compute.math_fidelity))},
                        {"fp32_dest_acc_en", rule.compute.fp32_dest_acc_en},
                        {"is_causal", options.is_causal},
                        {"scale", double{options.scale}},
                        {"sliding_window_size", options.sliding_window_size}};
  if (options.softcap > 0.0F) attributes.emplace_back("softcap", double{options.softcap});
  return attributes;
}

/// Whether products of bfloat16 values are exact for these operands: all formats but FLOAT32 widen to it.
bool fit_bf16(const Tensor& q, const Tensor& k, const Tensor& v) {
  return q.dtype() != DataType::FLOAT32 && k.dtype() != DataType::FLOAT32 && v.dtype() != DataType::FLOAT32;
}

} // namespace

KeyRange decode_keys(const DecodeWork& work, std::int64_t chip, std::int64_t user) {
  const std::int64_t position = work.positions.elements<std::int32_t>(chip)[user];
  base::require(position < work.capacity(), "positions must be below {}; received {}", work.capacity(), position);
  return attended_keys(position, work.rule);
}

CachePlace cache_place(const DecodeWork& work, std::int64_t chip, std::int64_t user, std::int64_t kv_head,
                       std::int64_t tile_row) {
  const std::int32_t* pages = work.page_table.elements<std::int32_t>(chip) + user * work.table_width;
  const std::int64_t block = pages[tile_row * kTileHeight / work.block_size];
  base::require(0 <= block && block < work.blocks,
                "page table entries up to the position must be in 0..{}; received {}", work.blocks - 1, block);
  return {block * work.kv_heads + kv_head, tile_row % (work.block_size / kTileHeight)};
}

void store_decoded(const DecodeWork& work, std::int64_t chip, std::int64_t user, std::int64_t kv_head,
                   const float* rows, std::int64_t stride) {
  const kernels::Kernels& isa = kernels::kernels();
  const kernels::Tiles output = work.output.tiles(chip, user);
  for (std::int64_t row = 0; row < work.group(); ++row)
    isa.store_row(output, kv_head * work.group() + row, rows + row * stride, work.head_dim);
  if (kv_head != work.kv_heads - 1) return;
  for (std::int64_t row = work.heads; row < round_up(work.heads, kTileHeight); ++row)
    isa.store_row(output, row, nullptr, 0);
}

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options) {
  constexpr std::string_view kName = "scaled_dot_product_attention";
  require_tile(kName, "q", q);
  require_tile(kName, "k", k);
  require_tile(kName, "v", v);
  require_same_device(kName,
                      {{"q", q}, {"k", k}, {"v", v}, {"key_bias", options.key_bias}, {"attn_mask", options.attn_mask}});
  base::require(q.shape().rank() == 4 && k.shape().rank() == 4,
                "[{}] q [B, Hq, S, D] and k [B, Hkv, S, D] are required; received {} and {}", kName, q.shape(),
                k.shape());
  base::require(options.is_causal || options.sliding_window_size == 0,
                "[{}] sliding_window_size must be 0 (none) where positions attend to all; received {}", kName,
                options.sliding_window_size);
  const std::int64_t sequences = q.shape()[0];
  base::require(sequences == 1 || !options.key_bias.defined(),
                "[{}] one sequence is required where key_bias is given; received {}", kName, sequences);
  const std::int64_t heads = q.shape()[1];
  const std::int64_t kv_heads = k.shape()[1];
  const std::int64_t length = q.shape()[2];
  const std::int64_t head_dim = q.shape()[3];
  check_heads(kName, heads, kv_heads, options);
  require_shape(kName, "k", k, {sequences, kv_heads, length, head_dim});
  require_shape(kName, "v", v, k.shape());
  runtime::MeshDevice& device = q.device();
  Tensor output = Tensor::allocate(device, q.spec(), kName);

  const PrefillWork work{.q = q.view(),
                         .k = k.view(),
                         .v = v.view(),
                         .output = output.view(),
                         .heads = sequences * heads,
                         .kv_heads = sequences * kv_heads,
                         .length = length,
                         .head_dim = head_dim,
                         .threads = device.queue().threads(),
                         .rule = rule_of(kName, options, sequences, heads, round_up(length, kTileHeight))};
  const AttentionFormats formats{q.dtype(), k.dtype(), v.dtype(), output.dtype()};
  AttentionStages stages = is_exact(device)    ? prefill_exactly(work, formats, device.board().arch)
                           : fit_bf16(q, k, v) ? prefill_in_bf16(work)
                                               : prefill_in_fp32(work);
  launch(device,
         {.name = kName,
          .stages = std::move(stages.stages),
          .scratch_bytes = stages.scratch_bytes,
          .key = options_key(work.rule.compute)},
         {{"input_tensor_q", q},
          {"input_tensor_k", k},
          {"input_tensor_v", v},
          {"key_bias", options.key_bias},
          {"attn_mask", options.attn_mask}},
         {{"output", output}}, [&] {
           const std::int64_t pairs =
               options.is_causal ? causal_pairs(length, options.sliding_window_size) : length * length;
           return OpDetails{
               attributes_of(options, work.rule),
               {.matmul_flops = 4 * sequences * heads * head_dim * pairs, .fidelity = work.rule.compute.math_fidelity},
               shared(attention_units(work.rule, div_up(head_dim, kTileWidth), prefill_chunk(length), formats))};
         });
  return output;
}

Tensor paged_scaled_dot_product_attention_decode(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache,
                                                 const Tensor& cur_pos, const Tensor& page_table,
                                                 const AttentionOptions& options) {
  constexpr std::string_view kName = "paged_scaled_dot_product_attention_decode";
  require_tile(kName, "q", q);
  require_tile(kName, "k_cache", k_cache);
  require_tile(kName, "v_cache", v_cache);
  require_same_device(kName, {{"q", q},
                              {"k_cache", k_cache},
                              {"v_cache", v_cache},
                              {"cur_pos", cur_pos},
                              {"page_table", page_table},
                              {"key_bias", options.key_bias}});
  base::require(q.shape().rank() == 4 && q.shape()[0] == 1 && k_cache.shape().rank() == 4,
                "[{}] q [1, B, Hq, D] and k_cache [blocks, Hkv, block_size, D] are required; received {} and {}", kName,
                q.shape(), k_cache.shape());
  const std::int64_t users = q.shape()[1];
  const std::int64_t heads = q.shape()[2];
  const std::int64_t head_dim = q.shape()[3];
  const std::int64_t kv_heads = k_cache.shape()[1];
  const std::int64_t blocks = k_cache.shape()[0];
  const std::int64_t block_size = k_cache.shape()[2];
  check_heads(kName, heads, kv_heads, options);
  base::require(!options.attn_mask.defined(), "[{}] attn_mask must be none: cur_pos says which keys there are", kName);
  require_shape(kName, "k_cache", k_cache, {k_cache.shape()[0], kv_heads, block_size, head_dim});
  require_shape(kName, "v_cache", v_cache, k_cache.shape());
  require_integers(kName, "cur_pos", cur_pos, {users});
  base::require(page_table.defined() && page_table.dtype() == DataType::INT32 &&
                    page_table.layout() == Layout::ROW_MAJOR && page_table.shape().rank() == 2 &&
                    page_table.shape()[0] >= users && block_size % kTileHeight == 0,
                "[{}] page_table must be INT32 in ROW_MAJOR with a row for each of {} users, and blocks whole tiles; "
                "received {} and blocks of {}",
                kName, users, page_table.spec(), block_size);
  if (q.memory_config().is_sharded()) require_height_sharded(kName, "q", q);
  runtime::MeshDevice& device = q.device();
  Tensor output = Tensor::allocate(device, q.spec(), kName);

  const DecodeWork work{.q = q.view(),
                        .k = k_cache.view(),
                        .v = v_cache.view(),
                        .output = output.view(),
                        .positions = cur_pos.view(),
                        .page_table = page_table.view(),
                        .users = users,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = head_dim,
                        .blocks = blocks,
                        .block_size = block_size,
                        .table_width = page_table.shape()[1],
                        .threads = device.queue().threads(),
                        .rule = rule_of(kName, options, 1, heads, page_table.shape()[1] * block_size)};
  const AttentionFormats formats{q.dtype(), k_cache.dtype(), v_cache.dtype(), output.dtype()};
  AttentionStages stages = is_exact(device)                ? decode_exactly(work, formats, device.board().arch)
                           : fit_bf16(q, k_cache, v_cache) ? decode_in_bf16(work)
                                                           : decode_in_fp32(work);
  launch(device,
         {.name = kName,
          .stages = std::move(stages.stages),
          .scratch_bytes = stages.scratch_bytes,
          .key = options_key(work.rule.compute)},
         {{"input_tensor_q", q},
          {"input_tensor_k", k_cache},
          {"input_tensor_v", v_cache},
          {"cur_pos_tensor", cur_pos},
          {"page_table_tensor", page_table},
          {"key_bias", options.key_bias}},
         {{"output", output}}, [&] {
           // The cache is counted as read in whole: how far it is filled stands in cur_pos, which only the device
           // knows.
           return OpDetails{attributes_of(options, work.rule),
                            {.matmul_flops = 4 * users * heads * head_dim * work.capacity(),
                             .fidelity = work.rule.compute.math_fidelity},
                            shared(attention_units(work.rule, div_up(head_dim, kTileWidth), kDecodeChunk, formats))};
         });
  return output;
}

} // namespace tessera::ops
