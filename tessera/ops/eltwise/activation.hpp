#pragma once

#include <string_view>

#include "tessera/kernels/kernels.hpp"

namespace tessera::ops {

/// Functions that an op can apply to an operand as it reads it. GELU is the exact form, by the error function;
/// GELU_TANH its approximation (Hendrycks and Gimpel, "Gaussian Error Linear Units"; Hugging Face: gelu_new,
/// gelu_pytorch_tanh).
enum class Activation { NONE, SILU, GELU, GELU_TANH, RELU };

std::string_view to_string(Activation activation);
/// Floating-point operations for each element, for records.
std::int64_t flops_of(Activation activation);
/// values[0..count) = activation of them, in fp32.
void apply(Activation activation, std::int64_t count, float* values);

} // namespace tessera::ops
