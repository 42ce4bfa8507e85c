#pragma once

#include <cstdint>

#include "tessera/nn/forward_context.hpp"
#include "tessera/nn/kv_cache.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/ops/transformer/attention.hpp"

namespace tessera::nn {

/// Grouped-query attention over the paged KV cache, with rotary embedding where the context has its rows:
/// x [1, 1, R, E] -> [1, 1, R, E]. Each chip attends with its part of the heads.
class Attention {
 public:
  /// Of one chip.
  struct Shape {
    std::int64_t heads = 1;
    std::int64_t kv_heads = 1;
    std::int64_t head_dim = 64;
    std::int64_t sliding_window = 0; ///< 0: none
    float scale = 1.0F;              ///< of the scores
    float softcap = 0.0F;            ///< of the scaled scores; 0: none
    ComputeByPhase compute = {};     ///< of the attention itself
  };
  /// RMS norms of each head, before the rotary embedding: [1, 1, 1, D], in interleaved rotary order. Undefined: none.
  struct HeadNorms {
    tensor::Tensor q;
    tensor::Tensor k;
    float epsilon = 1e-6F;
  };

  Attention(const Shape& shape, Linear wqkv, HeadNorms norms, Linear wo);
  /// Gives it the memory of its keys and values; required before forward.
  void set_cache(KvCache cache) { cache_ = std::move(cache); }

  /// Appends the rows' keys and values to the cache and attends. Takes a module's input, gives a residual stream
  /// (TensorParallel).
  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;

 private:
  tensor::Tensor prefill(const tensor::Tensor& qkv, const ForwardContext& context) const; // [1, 1, S, Hq D]
  tensor::Tensor decode(const tensor::Tensor& qkv, const ForwardContext& context) const;  // [1, 1, B, Hq D]
  /// Norms and turns the heads.
  tensor::Tensor placed(tensor::Tensor heads, const tensor::Tensor& norm, const ForwardContext& context) const;
  ops::AttentionOptions options(const ForwardContext& context) const;

  Shape shape_;
  Linear wqkv_; // [E, (Hq + 2 Hkv) D], Q and K columns in interleaved rotary order
  HeadNorms norms_;
  Linear wo_; // [Hq D, E]
  KvCache cache_;
};

} // namespace tessera::nn
