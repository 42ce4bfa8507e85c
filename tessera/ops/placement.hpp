#pragma once

#include <optional>
#include <string_view>

#include "tessera/tensor/tensor.hpp"

namespace tessera::ops {

/// An op's output with its place filled in: as asked, else where `like` lies. Sharded without a ShardSpec, or where the
/// output's extents are not those of `like`, it gets the shards that fit: over the cores of `like` when that is sharded
/// in the same way, else over a grid that suits the shape (sharded_over).
TensorSpec placed(TensorSpec output, const tensor::Tensor& like, const std::optional<MemoryConfig>& asked = {});

/// Throws InvalidArgument unless the tensor is HEIGHT_SHARDED: what TT-NN's ops of a decode step ask for, a user's
/// heads on a core.
void require_height_sharded(std::string_view op, std::string_view argument, const tensor::Tensor& tensor);

} // namespace tessera::ops
