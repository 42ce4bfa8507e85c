#pragma once

#include <span>

#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/moe/routing.hpp"

namespace tessera::ops {

/// GATHER: the input's rows are those that were routed, [1, 1, R, K]. PLACES: they stand at their places already,
/// [1, 1, P, K].
enum class GroupedInput { GATHER, PLACES };

/// Each routed row times the weight of its expert, weights[x] [1, 1, K, N] of one format -> [1, 1, P, N] by places, in
/// which rows without a place mean nothing. As linear: a row's result does not depend on the others. Weights of experts
/// to which no row goes are not read. In TT-NN sparse_matmul. `options.bias` is not taken.
Tensor grouped_linear(const Tensor& input, GroupedInput kind, std::span<const Tensor> weights, const Routing& routing,
                      const LinearOptions& options);

} // namespace tessera::ops
