#pragma once

#include <cstdint>

#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/nn/rope.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// What all modules of one forward pass share.
struct ForwardContext {
  Phase phase = Phase::DECODE;
  const TensorParallel& parallel;
  RopeTables::Rows rope;     ///< prefill [1, 1, S, D], decode [1, B, 1, D]; none without rotary embedding
  tensor::Tensor key_bias;   ///< of attention scores (ops::AttentionOptions), or none
  tensor::Tensor positions;  ///< decode: [B] INT32, -1 for idle users
  tensor::Tensor places;     ///< the rows' positions as [1, 1, R] INT32
  tensor::Tensor page_table; ///< [users, blocks of a user] INT32
  tensor::Tensor user;       ///< prefill: [1] INT32, whose cache is filled
  DataType activation = DataType::BFLOAT16;
  /// Of activations [1, 1, R, width]: in decode L1 WIDTH_SHARDED, with shards as each op chooses them; in prefill DRAM.
  MemoryConfig memory_config;
  /// Of heads [1, B, H, D] in decode, a user's on a core.
  MemoryConfig heads_memory_config;

  const std::optional<ComputeConfig>& of_phase(const ComputeByPhase& compute) const {
    return phase == Phase::DECODE ? compute.decode : compute.prefill;
  }
};

} // namespace tessera::nn
