#pragma once

#include <cstdint>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// The rows of `a` before those of each sequence of a batch, a class token before the patches: a [1, 1, Sa, E] and
/// b [1, 1, B Sb, E] TILE -> [1, 1, B (Sa + Sb), E] in the format and place of b. TT-NN's concat along the dimension of
/// rows, with `a` expanded over the batch. Throws InvalidArgument for extents that do not fit.
Tensor concat_rows(const Tensor& a, const Tensor& b, std::int64_t batch_size);

} // namespace tessera::ops
