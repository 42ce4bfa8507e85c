#pragma once

#include <cstdint>
#include <vector>

#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// The slopes of `heads` heads (Press et al., "Train Short, Test Long: Attention with Linear Biases", and its code for
/// numbers of heads that are no powers of two).
std::vector<float> alibi_slopes(std::int64_t heads);

/// What each head of a chip adds to the scaled scores of the keys at positions 0 .. positions - 1, as
/// ops::AttentionOptions::key_bias. Slopes and their products with the positions are rounded to bfloat16, as the
/// published models were trained (transformers, build_alibi_tensor), and scaled as scores are.
tensor::Tensor alibi_bias(runtime::MeshDevice& device, const DecoderConfig& config, const TensorParallel& parallel,
                          std::int64_t positions);

} // namespace tessera::nn
