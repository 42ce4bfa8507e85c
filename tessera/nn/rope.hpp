#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/tensor/host_tensor.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// Scaling of the rotary frequencies of Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those
/// between blended (Hugging Face, modeling_rope_utils: _compute_llama3_parameters).
struct Llama3RopeScaling {
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double original_max_positions = 8192;
};

/// Rotary position embedding (Su et al., "RoFormer"): pair i of a head turns by position * theta^(-2i/D).
struct RopeConfig {
  double theta = 10000.0;
  double linear_factor = 1.0; ///< positions are divided by it
  std::optional<Llama3RopeScaling> llama3;
};

/// The frequencies of a head's D/2 pairs, radians for each position.
std::vector<float> rope_frequencies(const RopeConfig& config, std::int64_t head_dim);

/// Cosines and sines of all positions on the device, one row for each, both values of a pair alike: [1, 1, positions,
/// D].
class RopeTables {
 public:
  RopeTables() = default;
  /// `dtype` is that of the activations. Tables stay in BFLOAT16 beside a block format, whose rows cannot be looked up.
  RopeTables(runtime::MeshDevice& device, const RopeConfig& config, std::int64_t head_dim, std::int64_t positions,
             DataType dtype);

  struct Rows {
    tensor::Tensor cos;
    tensor::Tensor sin;
  };
  /// The rows of positions [..., R] (INT32, ROW_MAJOR): [..., R, D].
  Rows look_up(const tensor::Tensor& positions, const MemoryConfig& memory_config) const;

 private:
  tensor::Tensor cos_; // [1, 1, positions, D] ROW_MAJOR
  tensor::Tensor sin_;
  DataType dtype_ = DataType::BFLOAT16;
};

} // namespace tessera::nn
