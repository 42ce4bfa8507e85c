#pragma once

#include <cstdint>

#include "tessera/ops/normalization/norm_rows.hpp"
#include "tessera/spec/decomposition.hpp"

// The compute kernels of the norms, as TT-NN's are built: E[x], x - E[x], squares, their mean, one over its root,
// products with the weight and the bias, each packed to L1 in between. Private to this folder.

namespace tessera::ops {

struct NormFormats {
  DataType input = DataType::BFLOAT16;
  DataType weight = DataType::BFLOAT16;
  DataType bias = DataType::BFLOAT16;
  DataType output = DataType::BFLOAT16;
};

/// Of parameters that are absent: BFLOAT16.
NormFormats formats_of(const Tensor& input, const NormParameters& parameters, const Tensor& output);

/// HiFi4 and a 32-bit Dst.
ComputeConfig norm_config();

/// Inputs: input_tensor, scaler (1 / width), weight; output.
Decomposition rms_norm_units(std::int64_t columns, float epsilon, const NormFormats& formats);
/// Inputs: input_tensor, scaler (1 / width), weight, bias (ones and zeros where there is none), and where the last
/// column of tiles is `padded` a mask, ones but in the padding; output.
Decomposition layer_norm_units(std::int64_t columns, bool padded, float epsilon, const NormFormats& formats);

/// The sums of a chip's part of a row, a tile each with the sum in its first column: of squares, and for layer norm of
/// the values. Inputs: input_tensor, scaler (1); output (stats).
Decomposition pre_all_gather_units(std::int64_t columns, bool layer_norm, const NormFormats& formats);
/// The norm of a part, given the sums of `parts` parts. Inputs: input_tensor, stats, scaler (1 / width of the whole
/// row), weight, and for layer norm bias; output.
Decomposition post_all_gather_units(std::int64_t columns, std::int64_t parts, bool layer_norm, float epsilon,
                                    const NormFormats& formats);

} // namespace tessera::ops
