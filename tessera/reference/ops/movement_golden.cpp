#include "tessera/reference/ops/golden_call.hpp"

// Ops that put elements elsewhere: no arithmetic.

namespace tessera::reference {
namespace {

GoldenOutputs same(const GoldenCall& call) {
  return {golden_output(call.output(), call.input("input_tensor"))};
}

/// Rows `first_row` .. `last_row`, rows from the one that the operand `first` names, or columns.
GoldenOutputs slice(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  if (call.has_attribute("first_column"))
    return {golden_output(call.output(), x.slice(-1, call.integer("first_column"), call.integer("last_column")))};
  if (call.has_attribute("first_row"))
    return {golden_output(call.output(),
                          x.slice(-2, call.integer("first_row"), call.integer("last_row"), call.integer("step")))};
  return {golden_output(call.output(), x.narrow(-2, call.integers("first")[0], call.integer("rows")))};
}

/// The rows of a before those of each of b's sequences.
GoldenOutputs concat(const GoldenCall& call) {
  const std::int64_t batch = call.integer("batch_size");
  const at::Tensor b = call.input("b");
  const std::int64_t width = b.size(-1);
  const at::Tensor a = call.input("a").reshape({1, -1, width}).expand({batch, -1, width});
  return {golden_output(call.output(), at::cat({a, b.reshape({batch, -1, width})}, 1))};
}

/// Blocks of sh x sw pixels become one, channels in the order (dy, dx, c).
GoldenOutputs fold(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  const at::Tensor images = call.flag("use_transpose_as_fold")
                                ? x.permute({0, 2, 3, 1})
                                : x.reshape({call.integer("batch_size"), call.integer("input_height"),
                                             call.integer("input_width"), x.size(-1)});
  const auto padding = call.extent("padding");
  const at::Tensor padded = at::constant_pad_nd(images, {0, 0, padding[1], padding[1], padding[0], padding[0]}, 0);
  const std::int64_t down = call.integer("stride_h");
  const std::int64_t across = call.integer("stride_w");
  const at::Tensor blocks =
      padded.reshape({padded.size(0), padded.size(1) / down, down, padded.size(2) / across, across, padded.size(3)});
  return {golden_output(call.output(), blocks.permute({0, 1, 3, 2, 4, 5}))};
}

/// A negative id gives zeros.
GoldenOutputs embedding(const GoldenCall& call) {
  const at::Tensor ids = call.input("input_tensor").reshape({-1}).to(at::kLong);
  const at::Tensor table = call.input("weight");
  const at::Tensor rows = table.reshape({-1, table.size(-1)}).index_select(0, at::clamp_min(ids, 0));
  return {golden_output(call.output(), rows * ids.ge(0).to(at::kDouble).unsqueeze(-1))};
}

/// [1, 1, B S, (Hq + 2 Hkv) D] -> q, k and v: [B, H, S, D] of prompts, [1, B S, H, D] of a decode step.
GoldenOutputs create_heads(const GoldenCall& call) {
  const bool decode = call.record().name == "nlp_create_qkv_heads_decode";
  const at::Tensor x = call.input("input_tensor");
  const std::int64_t batch = call.integer("batch_size");
  const std::int64_t heads = call.integer("num_heads");
  const std::int64_t kv_heads = call.integer("num_kv_heads");
  const std::int64_t head_dim = x.size(-1) / (heads + 2 * kv_heads);
  GoldenOutputs outputs;
  std::int64_t first = 0;
  for (const std::int64_t count : {heads, kv_heads, kv_heads}) {
    const at::Tensor part = x.narrow(-1, first * head_dim, count * head_dim).reshape({batch, -1, count, head_dim});
    outputs.push_back(golden_output(call.output(outputs.size()), decode ? part : part.transpose(1, 2)));
    first += count;
  }
  return outputs;
}

GoldenOutputs concat_heads(const GoldenCall& call) {
  return {golden_output(call.output(), call.input("input_tensor").transpose(1, 2))};
}

constexpr GoldenEntry kEntries[] = {{"copy", same},
                                    {"to_memory_config", same},
                                    {"interleaved_to_sharded", same},
                                    {"sharded_to_interleaved", same},
                                    {"reshard", same},
                                    {"slice", slice},
                                    {"concat", concat},
                                    {"fold", fold},
                                    {"embedding", embedding},
                                    {"nlp_create_qkv_heads", create_heads},
                                    {"nlp_create_qkv_heads_decode", create_heads},
                                    {"nlp_concat_heads", concat_heads},
                                    {"nlp_concat_heads_decode", same}};

} // namespace

std::span<const GoldenEntry> movement_goldens() {
  return kEntries;
}

} // namespace tessera::reference
