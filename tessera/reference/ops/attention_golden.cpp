#include <algorithm>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/reference/ops/golden_call.hpp"

// Attention by its definition, softmax(scale q k^T) v, a head at a time, and rotary embeddings.

namespace tessera::reference {
namespace {

/// q [S, D] over keys and values [T, D]. `bias` [T] or none; `allowed` [S, T] or none: all.
at::Tensor attend(const GoldenCall& call, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& bias, const at::Tensor& allowed) {
  at::Tensor scores = at::matmul(q, k.transpose(0, 1)) * call.number("scale");
  const double cap = call.number_or("softcap", 0.0);
  if (cap > 0) scores = cap * at::tanh(scores / cap);
  if (bias.defined()) scores = scores + bias;
  if (allowed.defined()) scores = scores.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), v);
}

/// Position i attends to itself and those before, to `window` of them where that is not 0.
at::Tensor causal(std::int64_t length, std::int64_t window) {
  const at::Tensor distance = at::arange(length, at::kLong).unsqueeze(1) - at::arange(length, at::kLong).unsqueeze(0);
  const at::Tensor before = distance.ge(0);
  return window > 0 ? before.logical_and(distance.lt(window)) : before;
}

GoldenOutputs prefill(const GoldenCall& call) {
  const at::Tensor q = call.input("input_tensor_q");
  const at::Tensor k = call.input("input_tensor_k");
  const at::Tensor v = call.input("input_tensor_v");
  const std::int64_t length = q.size(2);
  const std::int64_t group = q.size(1) / k.size(1);
  const at::Tensor allowed =
      call.flag("is_causal") ? causal(length, call.integer("sliding_window_size")) : at::Tensor();
  const at::Tensor key_bias = call.has("key_bias") ? call.input("key_bias") : at::Tensor();
  const at::Tensor mask = call.has("attn_mask") ? call.input("attn_mask") : at::Tensor();
  at::Tensor y = at::empty_like(q);
  for (std::int64_t sequence = 0; sequence < q.size(0); ++sequence) {
    for (std::int64_t head = 0; head < q.size(1); ++head) {
      at::Tensor bias;
      if (key_bias.defined()) bias = key_bias[0][0][head].narrow(0, 0, length);
      if (mask.defined()) bias = mask[sequence][0][0].narrow(0, 0, length);
      y[sequence][head].copy_(
          attend(call, q[sequence][head], k[sequence][head / group], v[sequence][head / group], bias, allowed));
    }
  }
  return {golden_output(call.output(), y)};
}

/// Positions first .. last of one head of a user: its pages one after the other.
at::Tensor from_pages(const at::Tensor& cache, std::span<const std::int32_t> pages, std::int64_t head,
                      std::int64_t first, std::int64_t last) {
  const std::int64_t block_size = cache.size(2);
  std::vector<at::Tensor> blocks;
  for (std::int64_t page = first / block_size; page * block_size < last; ++page) {
    base::require(page < std::ssize(pages), "[golden] positions below {} are required; received {}",
                  std::ssize(pages) * block_size, last - 1);
    const std::int64_t block = pages[static_cast<std::size_t>(page)];
    base::require(0 <= block && block < cache.size(0), "[golden] a page table's entries are blocks; received {}",
                  block);
    blocks.push_back(cache[block][head]);
  }
  return at::cat(blocks, 0).narrow(0, first % block_size, last - first);
}

GoldenOutputs paged_decode(const GoldenCall& call) {
  const at::Tensor q = call.input("input_tensor_q"); // [1, B, Hq, D]
  const at::Tensor k = call.input("input_tensor_k"); // [blocks, Hkv, block_size, D]
  const at::Tensor v = call.input("input_tensor_v");
  const auto positions = call.integers("cur_pos_tensor");
  const auto table = call.integers("page_table_tensor");
  const std::size_t width = table.size() / static_cast<std::size_t>(call.input("page_table_tensor").size(0));
  const at::Tensor key_bias = call.has("key_bias") ? call.input("key_bias") : at::Tensor();
  const std::int64_t window = call.integer("sliding_window_size");
  const std::int64_t group = q.size(2) / k.size(1);
  at::Tensor y = at::zeros_like(q);
  for (std::int64_t user = 0; user < q.size(1); ++user) {
    const std::int64_t last = std::int64_t{positions[static_cast<std::size_t>(user)]} + 1;
    if (last <= 0) continue; // idle
    const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, last - window) : 0;
    const auto pages = table.subspan(static_cast<std::size_t>(user) * width, width);
    for (std::int64_t kv_head = 0; kv_head < k.size(1); ++kv_head) {
      const at::Tensor keys = from_pages(k, pages, kv_head, first, last);
      const at::Tensor values = from_pages(v, pages, kv_head, first, last);
      for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const at::Tensor bias = key_bias.defined() ? key_bias[0][0][head].narrow(0, first, last - first) : at::Tensor();
        y[0][user][head].copy_(attend(call, q[0][user][head].unsqueeze(0), keys, values, bias, {}).squeeze(0));
      }
    }
  }
  return {golden_output(call.output(), y)};
}

/// Neighbours as pairs: (a, b) -> (a cos - b sin, b cos + a sin). Angles are a position's (prefill) or a user's
/// (decode); either way libtorch's broadcasting finds them.
GoldenOutputs rotary(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  const at::Tensor pairs = x.reshape({x.size(0), x.size(1), x.size(2), -1, 2});
  const at::Tensor turned = at::stack({-pairs.select(-1, 1), pairs.select(-1, 0)}, -1).reshape(x.sizes());
  return {golden_output(call.output(), x * call.input("cos") + turned * call.input("sin"))};
}

constexpr GoldenEntry kEntries[] = {{"scaled_dot_product_attention", prefill},
                                    {"paged_scaled_dot_product_attention_decode", paged_decode},
                                    {"rotary_embedding_llama", rotary}};

} // namespace

std::span<const GoldenEntry> attention_goldens() {
  return kEntries;
}

} // namespace tessera::reference
