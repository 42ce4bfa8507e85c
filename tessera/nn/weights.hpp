#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/nn/weight_cache.hpp"
#include "tessera/tensor/tensor.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {

using tensor::HostRows;
using tensor::MeshRows;
using tensor::Tensor;

/// Takes a checkpoint's weights to a device: straight from the mapped file into device memory, each rounded once.
class WeightLoader {
 public:
  /// Without weights in the checkpoint (a device in record mode plans from config.json alone) reads are never called;
  /// `stored_dtype` then stands for the checkpoint's own format. With a `random_seed` weights are random instead, a
  /// checkpoint's own are not looked at. With a `cache` weights come from there where it holds them. With `originals`,
  /// the weights of the same model on another device, nothing is read: these are shared. The checkpoint must outlive
  /// the loader.
  WeightLoader(runtime::MeshDevice& device, const checkpoint::Checkpoint& checkpoint, bool weights_as_stored,
               DataType stored_dtype, std::optional<std::uint64_t> random_seed = {},
               std::shared_ptr<WeightCache> cache = nullptr, std::vector<Tensor> originals = {});

  /// Whether there is a tensor `name`; random and planned weights always are.
  bool has(const std::string& name) const;
  /// The tensor `name` as rows x columns (a vector: 1 x columns). Throws IoError when it is absent or has another
  /// shape.
  HostRows rows(const std::string& name, std::int64_t rows, std::int64_t columns) const;
  /// The tensor `name` of any rank, its first extent as rows: filters [O, C, kh, kw] as O x C * kh * kw. Errors as in
  /// rows.
  HostRows filters(const std::string& name, const std::vector<std::int64_t>& shape) const;

  /// The format that the weights `names` go to: `dtype`, or the checkpoint's own when weights stay as stored (BFLOAT16
  /// if all of them are BF16, else FLOAT32).
  DataType format(DataType dtype, const std::vector<std::string>& names) const;

  /// A matmul's weight from a Linear's [N, K], or each chip's part of it: [1, 1, K, N] TILE. Of chips with the same
  /// rows, `sharing` says.
  Tensor matmul_weight(const MeshRows& rows, DataType dtype, std::string_view name,
                       const runtime::Sharing& sharing = {}) const;
  /// A vector as [1, 1, 1, N] TILE. Of chips with the same rows, `sharing` says.
  Tensor vector(const MeshRows& rows, DataType dtype, std::string_view name,
                const runtime::Sharing& sharing = {}) const;
  /// The same for a matrix that is no factor of a product: [1, 1, rows, columns] TILE.
  Tensor matrix(const MeshRows& rows, DataType dtype, std::string_view name,
                const runtime::Sharing& sharing = {}) const;
  /// A table as [1, 1, rows, columns] ROW_MAJOR.
  Tensor table(const MeshRows& rows, DataType dtype, std::string_view name, const runtime::Sharing& sharing = {}) const;

  /// Ends the load: all weights are on the device, whatever of the device's memory is taken next. Waits for the queue.
  /// What it returns, if anything, goes on writing the cache's file and is to live as long as the weights.
  std::shared_ptr<const void> finish() const;

  runtime::MeshDevice& device() const { return device_; }
  /// For weights that are the same on all chips.
  runtime::Sharing replicated() const { return {.divisor = 1, .modulus = 1}; }
  /// All weights that were put on the device, in their order.
  const std::vector<Tensor>& loaded() const { return loaded_; }

 private:
  HostRows rows_of_shape(const std::string& name, std::vector<std::int64_t> shape, std::int64_t rows,
                         std::int64_t columns) const;
  Tensor put(const TensorSpec& spec, std::string_view name, const runtime::Sharing& sharing,
             std::function<void(const Tensor&)> convert) const;

  runtime::MeshDevice& device_;
  const checkpoint::Checkpoint& checkpoint_;
  bool weights_as_stored_;
  DataType stored_dtype_;
  std::optional<std::uint64_t> random_seed_;
  std::shared_ptr<WeightCache> cache_;
  std::vector<Tensor> originals_;
  mutable std::vector<Tensor> loaded_;
};

/// Random values, the same for the same seed: roughly normal with a standard deviation of 0.02, bfloat16 values around
/// 0 in a matrix, and around 1 in a vector (rows == 1), which norms multiply by.
HostRows random_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed);

/// Matrices one below the other: Q, K and V projections as one.
HostRows concat_rows(std::vector<HostRows> parts);
/// A box of a matrix, zeros where it reaches beyond the end; the matrix itself when the box is all of it.
HostRows part_of(const HostRows& matrix, TensorParallel::Range rows, TensorParallel::Range columns);
/// As many zeros.
HostRows zeros_like(const HostRows& matrix);

/// Rows of a Q or K projection from Hugging Face's half-split rotary order to Meta's interleaved one, which
/// rotary_embedding_llama rotates: row 2i of a head is row i, row 2i+1 is row i + R/2, of the first R rows, which turn;
/// the others stay where they are.
HostRows interleave_rotary(HostRows source, std::int64_t head_dim, std::int64_t rotary_dim);
/// A matrix whose rows are the columns of `source`. A bias as a column: what holds for rows of weights holds for it.
HostRows transposed(HostRows source);
/// The values of a matrix, each raised by `offset`.
HostRows raised(HostRows source, float offset);
/// Where row `index` of the interleaved order comes from in the half-split order.
std::int64_t half_split_index(std::int64_t index, std::int64_t head_dim, std::int64_t rotary_dim);

} // namespace tessera::nn
