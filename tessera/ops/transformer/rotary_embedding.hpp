#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Rotary embedding in Meta's convention, neighbours as pairs: x cos + (x trans_mat) sin (Su et al., RoFormer), where
/// trans_mat is the constant that takes (a, b) to (-b, a) and is therefore not an argument.
/// Prefill: x [1, H, S, D], cos and sin [1, 1, S, D]. Decode: x [1, B, H, D], cos and sin [1, B, 1, D]. TILE; D even.
Tensor rotary_embedding_llama(const Tensor& input_tensor, const Tensor& cos, const Tensor& sin, bool is_decode_mode);

} // namespace tessera::ops
