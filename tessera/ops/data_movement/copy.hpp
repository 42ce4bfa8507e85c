#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Copies `input_a` into `input_b`, which is there already: the same shape, dtype and layout; the place may differ.
/// This is how a step takes its input from a tensor that another queue writes. Throws InvalidArgument.
void copy(const Tensor& input_a, const Tensor& input_b);

/// The same tensor in another place.
Tensor to_memory_config(const Tensor& tensor, const MemoryConfig& memory_config);

} // namespace tessera::ops
