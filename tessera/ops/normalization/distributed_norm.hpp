#pragma once

#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

// Norms of rows whose width is cut over chips, in three steps: each chip's sums over its part of a row (pre), an
// all_gather of these along the last dimension, and the norm of each part by the sums of all (post). A sum takes the
// first two columns of a tile of its own: the nearest fp32 value, and what that leaves. So nothing is lost on the way:
// layer norm needs E[x^2] - E[x]^2, in which a large mean would cancel all that fp32 holds.
//
// Parts may be padded with zeros at the end of the whole row: zeros add nothing to a sum, the true width is given to
// post, and the padding comes out as zero because weight and bias are zero there.

/// The sum of x^2 of each row: [..., R, E] TILE -> [..., R, 32] FLOAT32 TILE. `memory_config` of the output: the
/// input's by default.
Tensor rms_norm_pre_all_gather(const Tensor& input_tensor, const std::optional<MemoryConfig>& memory_config = {});
/// The sums of x^2 (columns 0 to 31) and of x (32 to 63) of each row, in double precision: [..., R, E] TILE ->
/// [..., R, 64] FLOAT32 TILE.
Tensor layer_norm_pre_all_gather(const Tensor& input_tensor, const std::optional<MemoryConfig>& memory_config = {});

struct RmsNormPostAllGatherOptions {
  float epsilon = 1e-5F;
  std::int64_t width = 0; ///< of the whole row, without padding; 0: the parts' widths together
  std::optional<DataType> dtype;
  std::optional<MemoryConfig> memory_config;
};
/// rms_norm of a part of each row. input_tensor [..., R, E] TILE; stats [..., R, 32 * D], the parts' sums in the order
/// of places; weight [1, 1, 1, E] TILE, the part that belongs to this one -> [..., R, E] TILE in the input's format and
/// place unless others are asked for. For one part the bits are those of rms_norm (in the scalar kernels: but for the
/// last bits of a sum in double precision). Throws InvalidArgument for shapes that do not fit and for a width that the
/// parts cannot hold.
Tensor rms_norm_post_all_gather(const Tensor& input_tensor, const Tensor& stats, const Tensor& weight,
                                const RmsNormPostAllGatherOptions& options);

struct LayerNormPostAllGatherOptions {
  float epsilon = 1e-5F;
  std::int64_t width = 0; ///< of the whole row, without padding; 0: the parts' widths together
  Tensor bias;            ///< [1, 1, 1, E] TILE; zeros when absent
  std::optional<DataType> dtype;
  std::optional<MemoryConfig> memory_config;
};
/// layer_norm of a part of each row: as rms_norm_post_all_gather, stats [..., R, 64 * D].
Tensor layer_norm_post_all_gather(const Tensor& input_tensor, const Tensor& stats, const Tensor& weight,
                                  const LayerNormPostAllGatherOptions& options);

} // namespace tessera::ops
