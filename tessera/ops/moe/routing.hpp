#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Which experts each row goes to, decided on the device. A place is a row of the tensors [1, 1, P, N] that
/// grouped_linear makes: the rows that go to one expert have neighbouring places, and each expert's begin a tile. All
/// ROW_MAJOR in DRAM.
struct Routing {
  Tensor weights; ///< [R * k] FLOAT32: of choice j of row r at r * k + j; a row's add up to 1
  Tensor places;  ///< [R * k] INT32: the places of those choices
  Tensor rows;    ///< [P] INT32: the row of each place; -1: none
  Tensor begins;  ///< [X] INT32: an expert's first place
  Tensor counts;  ///< [X] INT32: its rows

  std::int64_t choices = 0; ///< k
  std::int64_t row_count() const { return weights.shape()[0] / choices; }
};

/// Each row of logits [1, 1, R, X] TILE chooses its k best experts, the first of equal ones, weighted by the softmax
/// over the chosen (Shazeer et al., "Outrageously Large Neural Networks"): the softmax over all, shared out among them.
/// Throws InvalidArgument unless 1 <= k <= X.
Routing moe_routing(const Tensor& logits, std::int64_t k);

/// The sum of a row's choices, each times its weight: y [1, 1, P, N] by places -> [1, 1, R, N], in fp32, in the order
/// of the choices, rounded once.
Tensor moe_combine(const Tensor& y, const Routing& routing, const std::optional<MemoryConfig>& memory_config = {});

} // namespace tessera::ops
