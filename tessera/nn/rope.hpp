#pragma once

#include <cstdint>
#include <limits>
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

/// YaRN (Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models"): pairs that turn fewer than
/// beta_slow times in the original context are stretched by `factor`, those of more than beta_fast times kept, those
/// between blended (Hugging Face, modeling_rope_utils: _compute_yarn_parameters).
struct YarnRopeScaling {
  double factor = 4.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double original_max_positions = 32768;
  bool truncate = true; ///< the blend begins and ends at whole pairs
};

/// LongRoPE (Ding et al., "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens"): each pair's frequency is
/// divided by a factor of its own, of one list in sequences of up to `original_max_positions`, else of the other.
struct LongRopeScaling {
  std::vector<double> short_factor; ///< of each pair that turns
  std::vector<double> long_factor;
  std::int64_t original_max_positions = 4096;
};

/// Rotary position embedding (Su et al., "RoFormer"): pair i of a head turns by position * theta^(-2i/D).
struct RopeConfig {
  double theta = 10000.0;
  double linear_factor = 1.0; ///< positions are divided by it
  std::optional<Llama3RopeScaling> llama3 = {};
  std::optional<YarnRopeScaling> yarn = {};
  std::optional<LongRopeScaling> longrope = {};
  double attention_factor = 1.0; ///< cosines and sines are multiplied by it
  std::int64_t rotary_dim = 0;   ///< the first so many values of a head turn, in place of D; 0: all

  std::int64_t turned(std::int64_t head_dim) const { return rotary_dim == 0 ? head_dim : rotary_dim; }
};

/// Sequences of up to and of more than LongRopeScaling::original_max_positions. Without that scaling they are one.
enum class SequenceKind { SHORT, LONG };

/// The frequencies of the pairs of a head that turn, radians for each position.
std::vector<float> rope_frequencies(const RopeConfig& config, std::int64_t head_dim,
                                    SequenceKind kind = SequenceKind::SHORT);

/// Cosines and sines of all positions on the device, one row for each, both values of a pair alike: [1, 1, rows, D].
/// Values that do not turn have cosine 1. The rows of long sequences, where they differ, follow those of short ones.
class RopeTables {
 public:
  RopeTables() = default; ///< of a model without rotary embedding
  /// `dtype` is that of the activations. Tables stay in BFLOAT16 beside a block format, whose rows cannot be looked up.
  RopeTables(runtime::MeshDevice& device, const RopeConfig& config, std::int64_t head_dim, std::int64_t positions,
             DataType dtype);

  /// What a sequence of `length` positions in all adds to its positions to find its rows.
  std::int64_t first_row(std::int64_t length) const { return length > longest_short_ ? positions_ : 0; }
  /// Whether sequences differ by their length at all.
  bool depend_on_length() const { return rows_ > positions_; }

  struct Rows {
    tensor::Tensor cos;
    tensor::Tensor sin;
  };
  /// The rows of positions [..., R] (INT32, ROW_MAJOR): [..., R, D]. None without rotary embedding.
  Rows look_up(const tensor::Tensor& positions, const MemoryConfig& memory_config) const;

 private:
  std::int64_t positions_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t longest_short_ = std::numeric_limits<std::int64_t>::max();
  tensor::Tensor cos_; // [1, 1, rows, D] ROW_MAJOR
  tensor::Tensor sin_;
  DataType dtype_ = DataType::BFLOAT16;
};

} // namespace tessera::nn
