#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct EmbeddingOptions {
  DataType dtype = DataType::BFLOAT16;
  MemoryConfig memory_config = kDramInterleaved;
};

/// Rows of a table: ids [..., R] (UINT32 or INT32, ROW_MAJOR), weight [1, 1, V, E] (BFLOAT16 or FLOAT32, ROW_MAJOR) ->
/// [..., R, E] in TILE layout. A negative id gives a row of zeros (an idle user's position); an id >= V fails on the
/// queue.
Tensor embedding(const Tensor& ids, const Tensor& weight, const EmbeddingOptions& options);

} // namespace tessera::ops
