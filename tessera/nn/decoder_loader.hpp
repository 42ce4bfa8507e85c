#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/decoder_layer.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/nn/weights.hpp"

namespace tessera::nn {

/// Takes the weights of a decoder to the device, to each chip its part. Throws IoError for tensors that are missing or
/// misshapen, OutOfMemory when the card is too small. What it is made from must outlive it.
class DecoderLoader {
 public:
  DecoderLoader(const DecoderConfig& config, const DecoderNames& names, const Precision& precision,
                const TensorParallel& parallel, const WeightLoader& weights);

  Tensor embedding() const;          ///< [1, 1, V, E] ROW_MAJOR, cut over the hidden width
  Tensor position_embedding() const; ///< of learned positions, [1, 1, positions, E], the same; else undefined
  DecoderLayer layer(std::int64_t number) const;
  Norm final_norm() const;
  Linear lm_head() const; ///< [E, V]

 private:
  /// The `rows` rows of the file, and zeros up to `table_rows`.
  Tensor table(const std::string& name, std::int64_t rows, std::int64_t table_rows, std::string_view label) const;
  Norm norm(const std::string& name) const;
  /// The format of a norm's weights.
  DataType norm_format(const std::string& name) const;
  Tensor head_norm(const std::string& name) const;
  Attention attention(std::int64_t number, const LayerPrecision& formats) const;
  Mlp mlp(std::int64_t number, const LayerPrecision& formats) const;
  Experts experts(std::int64_t number, const LayerPrecision& formats) const;
  /// A layer's projection of `out` outputs and `in` inputs as rows [out, in], and its bias as a column.
  HostRows matrix(const std::string& name, std::int64_t out, std::int64_t in) const;
  HostRows bias(const std::string& name, std::int64_t out) const;
  /// [E, N] from rows [N, E] and, with a bias, a column of N values; the chips share the N outputs.
  Linear column_parallel(const HostRows& matrix, const HostRows* bias, const std::string& name, DataType dtype,
                         std::string_view label) const;
  /// [K, E] from a Linear of `in` inputs, of which a chip takes `range(chip)`.
  template <typename RangeOfChip>
  Linear row_parallel(const std::string& name, std::int64_t in, const RangeOfChip& range, bool bias, DataType dtype,
                      std::string_view label) const;
  Linear wqkv(std::int64_t layer, DataType dtype) const;
  struct Projection;
  std::vector<Projection> projections(std::int64_t layer) const;

  const DecoderConfig& config_;
  const DecoderNames& names_;
  const Precision& precision_;
  const TensorParallel& parallel_;
  const WeightLoader& weights_;
};

} // namespace tessera::nn
