#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tessera/nn/decoder_config.hpp"
#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/spec/board_spec.hpp"
#include "tessera/tensor/mesh.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// LINE: the chips of the mesh one after another share heads, MLP width and vocabulary; the residual stream is cut over
/// all of them. GRID: the rows of the mesh share heads, MLP width and vocabulary, its columns the hidden width, also of
/// the weights; what is cut over one axis is the same along the other.
enum class TensorParallelScheme { LINE, GRID };

/// Whether `ways` chips can share the attention heads: the query heads are divided evenly, and so are the key-value
/// heads, or each of them is held by the same number of chips.
bool heads_divide(const DecoderConfig& config, std::int64_t ways);

/// Elements of a dimension of `extent` on each of `ways` chips, in whole tiles where there are several: so shards of
/// any extent lie tile by tile, and what reaches beyond the end holds zeros.
std::int64_t shard_extent(std::int64_t extent, std::int64_t ways);

/// How a decoder is cut over the chips of its mesh (Shoeybi et al., "Megatron-LM"; docs/parallelism.md). On one chip
/// nothing is cut and every collective is the identity.
///
/// A chip has a place among those that share the heads, and one among those that share the hidden width. The residual
/// stream [1, 1, R, E] is cut over the latter. A module's input is the residual stream normed: with LINE gathered on
/// every chip, with GRID still cut. Column-parallel weights (QKV, gate, up, LM head) give a chip its part of the heads;
/// row-parallel ones (output and down projections) take it, and their outputs are summed into the residual stream.
class TensorParallel {
 public:
  TensorParallel() = default; ///< one chip
  /// Throws InvalidArgument, naming what works, when the chips cannot share the heads.
  TensorParallel(const BoardSpec& mesh, TensorParallelScheme scheme, const DecoderConfig& config);

  std::int64_t chips() const { return chips_; }
  /// Chips that share the heads, and chips that share the hidden width.
  std::int64_t head_ways() const { return scheme_ == TensorParallelScheme::LINE ? chips_ : chips_ / columns_; }
  std::int64_t hidden_ways() const { return scheme_ == TensorParallelScheme::LINE ? chips_ : columns_; }
  std::int64_t hidden_size() const { return hidden_size_; }

  /// The part [first, first + count) of a dimension that a chip holds; it may reach beyond the dimension's end.
  struct Range {
    std::int64_t first = 0;
    std::int64_t count = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  Range residual(std::int64_t chip) const; ///< of the hidden width, in the residual stream
  Range input(std::int64_t chip) const;    ///< of the hidden width, in a module's input and before its output is summed
  Range shared(std::int64_t chip, std::int64_t extent) const; ///< of an MLP's width or the vocabulary
  Range heads(std::int64_t chip, std::int64_t count) const;   ///< of query or key-value heads
  /// The first of the chips that hold the same part of the heads, and of the hidden width: a bias counts there.
  bool first_of_head_part(std::int64_t chip) const {
    return scheme_ == TensorParallelScheme::LINE || chip % columns_ == 0;
  }
  bool first_of_hidden_part(std::int64_t chip) const { return head_place(chip) == 0; }

  /// Which chips hold the same part of the residual stream, and so of what it is multiplied with.
  runtime::Sharing residual_sharing() const;

  /// rows(chip) for every chip.
  tensor::MeshRows of_chips(const std::function<tensor::HostRows(std::int64_t)>& rows) const;

  /// Row statistics [1, 1, R, N] of the shards of the residual stream -> [1, 1, R, ways * N].
  tensor::Tensor gather_statistics(const tensor::Tensor& statistics) const;
  /// A normed shard of the residual stream -> a module's input.
  tensor::Tensor gather_input(const tensor::Tensor& normed) const;
  /// The output of a column-parallel weight, made whole where the hidden width was cut.
  tensor::Tensor sum_columns(const tensor::Tensor& partial) const;
  /// The output of a row-parallel weight -> a shard of the residual stream.
  tensor::Tensor sum_rows(const tensor::Tensor& partial) const;
  /// The chips' parts of the vocabulary -> logits [1, 1, R, V] on every chip.
  tensor::Tensor gather_logits(const tensor::Tensor& part, std::int64_t vocab_size) const;

  /// How a residual stream, and a module's input, of E values is read back.
  tensor::HostTensor residual_to_host(const tensor::Tensor& x) const;
  tensor::HostTensor input_to_host(const tensor::Tensor& x) const;

 private:
  std::int64_t head_place(std::int64_t chip) const {
    return scheme_ == TensorParallelScheme::LINE ? chip : chip / columns_;
  }
  ops::CclOptions over_heads() const;
  ops::CclOptions over_hidden() const;

  TensorParallelScheme scheme_ = TensorParallelScheme::LINE;
  std::int64_t chips_ = 1;
  std::int64_t columns_ = 1;
  std::int64_t hidden_size_ = 0;
};

} // namespace tessera::nn
