#pragma once

#include <cstdint>

#include "tessera/nn/forward_context.hpp"
#include "tessera/nn/kv_cache.hpp"
#include "tessera/nn/linear.hpp"

namespace tessera::nn {

/// Grouped-query attention with rotary embedding over the paged KV cache: x [1, 1, R, E] -> [1, 1, R, E]. Each chip
/// attends with its part of the heads.
class Attention {
 public:
  /// Of one chip.
  struct Shape {
    std::int64_t heads = 1;
    std::int64_t kv_heads = 1;
    std::int64_t head_dim = 64;
    std::int64_t sliding_window = 0; ///< 0: none
  };

  Attention(const Shape& shape, Linear wqkv, Linear wo);
  /// Gives it the memory of its keys and values; required before forward.
  void set_cache(KvCache cache) { cache_ = std::move(cache); }

  /// Appends the rows' keys and values to the cache and attends. Takes a module's input, gives a residual stream
  /// (TensorParallel).
  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;

 private:
  tensor::Tensor prefill(const tensor::Tensor& qkv, const ForwardContext& context) const; // [1, 1, S, Hq D]
  tensor::Tensor decode(const tensor::Tensor& qkv, const ForwardContext& context) const;  // [1, 1, B, Hq D]

  Shape shape_;
  Linear wqkv_; // [E, (Hq + 2 Hkv) D], Q and K columns in interleaved rotary order
  Linear wo_;   // [Hq D, E]
  KvCache cache_;
};

} // namespace tessera::nn
