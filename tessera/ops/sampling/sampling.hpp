#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// How each user's token is drawn, and when: ROW_MAJOR tensors on the device, so that a trace replays with others.
struct SamplingTensors {
  Tensor temperature; ///< FLOAT32 [B]: logits are divided by it; 0: greedy, k and p are not used
  Tensor k;           ///< INT32 [B]: keep the k largest logits; 0: all
  Tensor p;           ///< FLOAT32 [B]: keep the fewest tokens whose probabilities sum to at least this; 1: all
  Tensor seed;        ///< INT32 or UINT32 [B, 2]: low and high half of 64 bits
  Tensor positions;   ///< INT32 [B]: of the token that gave these logits; -1: idle user, whose output stays as it is
};

/// Draws each user's next token, as draw_token does: logits [1, 1, B, V] TILE, V up to 2^20, into `output`, INT32 with
/// B elements in ROW_MAJOR ([1, 1, B] is what `embedding` reads). A user's token depends on its own logits, parameters,
/// seed and position alone.
///
/// Parameters out of range and logits whose largest is not finite fail on the queue.
void sampling(const Tensor& logits, const SamplingTensors& parameters, const Tensor& output);

} // namespace tessera::ops
