#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Copies `input_a` into `input_b`, which is there already: the same shape, dtype and layout; the place may differ.
/// This is how a step takes its input from a tensor that another queue writes. Throws InvalidArgument.
void copy(const Tensor& input_a, const Tensor& input_b);

/// The same tensor in another place, sharded or not. A sharded one without a ShardSpec gets one that suits its shape.
/// Rows of a shard in ROW_MAJOR are multiples of L1's alignment, here and below; others throw InvalidArgument.
Tensor to_memory_config(const Tensor& tensor, const MemoryConfig& memory_config);
/// The same under TT-NN's names, for one direction each; they throw InvalidArgument for the others.
Tensor interleaved_to_sharded(const Tensor& input_tensor, const MemoryConfig& memory_config);
Tensor sharded_to_interleaved(const Tensor& input_tensor, const MemoryConfig& memory_config = kDramInterleaved);
Tensor reshard(const Tensor& input_tensor, const MemoryConfig& memory_config);

} // namespace tessera::ops
