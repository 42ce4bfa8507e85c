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

  Tensor embedding() const; ///< [1, 1, V, E] ROW_MAJOR, cut over the hidden width
  DecoderLayer layer(std::int64_t number) const;
  Norm final_norm() const;
  Linear lm_head() const; ///< [E, V]

 private:
  Norm norm(const std::string& name) const;
  /// [E, N] from a Linear of `out` outputs, which the chips share.
  Linear column_parallel(const std::string& name, std::int64_t out, bool bias, DataType dtype,
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
