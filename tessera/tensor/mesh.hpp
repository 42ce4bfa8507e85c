#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/spec/board_spec.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::tensor {

/// A dimension that is cut over chips: the chip at place p holds elements p * extent .. (p + 1) * extent.
struct MeshCut {
  int dim = 0; ///< negative counts from the innermost
  /// Of each chip's shard; 0: an equal share. With an extent given, what reaches beyond the tensor's end is zeros: so
  /// sizes that the chips do not divide are padded, each shard to what its kernels like.
  std::int64_t extent = 0;
};

/// Which part of a tensor each chip of a mesh gets. Without any cut: all of it.
struct MeshMapper {
  std::optional<MeshCut> mesh;    ///< over all chips, in row-major order; goes alone
  std::optional<MeshCut> rows;    ///< over mesh axis 0: by the chip's row; none: every row of chips holds the same
  std::optional<MeshCut> columns; ///< over mesh axis 1: by the chip's column
};
/// TT-NN's ReplicateTensorToMesh, ShardTensorToMesh(dim) and ShardTensor2dMesh(dims).
MeshMapper replicate_tensor_to_mesh();
MeshMapper shard_tensor_to_mesh(int dim, std::int64_t extent = 0);
MeshMapper shard_tensor_2d_mesh(std::optional<MeshCut> rows, std::optional<MeshCut> columns);

/// A dimension along which the chips' tensors are put together.
struct MeshConcat {
  int dim = 0;             ///< negative counts from the innermost
  std::int64_t extent = 0; ///< of the result: what the chips hold beyond it is padding, and dropped; 0: nothing is
};

/// How the chips' tensors make one. Along an axis that is not named the first chip stands for all.
struct MeshComposer {
  std::optional<MeshConcat> mesh; ///< over all chips, in row-major order; goes alone
  std::optional<MeshConcat> rows;
  std::optional<MeshConcat> columns;
};
/// TT-NN's ConcatMeshToTensor(dim) and ConcatMesh2dToTensor(dims).
MeshComposer concat_mesh_to_tensor(int dim, std::int64_t extent = 0);
MeshComposer concat_mesh_2d_to_tensor(std::optional<MeshConcat> rows, std::optional<MeshConcat> columns);

/// What each chip holds of a tensor of shape `whole`. Throws InvalidArgument for a dimension that the shape lacks or
/// that two axes cut, for an extent of 0 where the chips do not divide the dimension, and for one too small.
std::vector<MeshPart> mesh_parts(const BoardSpec& board, const Shape& whole, const MeshMapper& mapper);
/// The spec of a chip's shard of `whole`.
TensorSpec shard_spec(const BoardSpec& board, const TensorSpec& whole, const MeshMapper& mapper);

/// Whether chips that hold the same part of a tensor also share host memory, as they may when no op writes to it.
enum class HostMemory { OF_EACH_CHIP, SHARED };
/// Which chips hold the same under `mapper`.
runtime::Sharing sharing_of(const BoardSpec& board, const MeshMapper& mapper);

/// from_host and from_host_transposed of transfer.hpp for a mesh: `whole` is the spec of the tensor, `source` its
/// values; each chip reads no more of them than its part. For from_host_transposed, dimension -1 of the tensor is the
/// source's rows: shards of a Linear's [N, K] by -1 are column parallel, by -2 row parallel.
Tensor from_host(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& whole, const MeshMapper& mapper,
                 std::string_view name, HostMemory memory = HostMemory::OF_EACH_CHIP);
Tensor from_host_transposed(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& whole,
                            const MeshMapper& mapper, std::string_view name,
                            HostMemory memory = HostMemory::OF_EACH_CHIP);
Tensor from_host(runtime::MeshDevice& device, std::vector<std::int32_t> values, const TensorSpec& whole,
                 const MeshMapper& mapper, std::string_view name);
/// The same for a tensor that is there already, of shard_spec's shape, in the queue's order.
void write_rows(const Tensor& tensor, const HostRows& source, const Shape& whole, const MeshMapper& mapper);
void write_transposed(const Tensor& tensor, const HostRows& source, const Shape& whole, const MeshMapper& mapper);
void write(const Tensor& tensor, std::vector<std::int32_t> values, const Shape& whole, const MeshMapper& mapper);

/// Reads of the chips' tensors as one, in the order of the current queue, without waiting, and waited for. Throws
/// InvalidArgument for a dimension that the tensor lacks and an extent that is more than the chips hold.
Read<HostTensor> begin_read(const Tensor& tensor, const MeshComposer& composer);
Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, const MeshComposer& composer);
HostTensor to_host(const Tensor& tensor, const MeshComposer& composer);
std::vector<std::int32_t> to_host_integers(const Tensor& tensor, const MeshComposer& composer);

/// A picture of which shard lies where, as text: a grid of the mesh with the ranges that each chip holds.
std::string visualize(const BoardSpec& board, const Shape& whole, const MeshMapper& mapper);

} // namespace tessera::tensor
