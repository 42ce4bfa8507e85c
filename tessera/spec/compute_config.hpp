#pragma once

#include <string_view>

#include "tessera/spec/data_type.hpp"

namespace tessera {

/// How many of a product's four partial products the matrix unit computes (spec: fidelity phases). HiFi2 is exact for
/// BFLOAT8_B weights, LoFi for BFLOAT4_B weights.
enum class MathFidelity { LoFi, HiFi2, HiFi3, HiFi4 };

std::string_view to_string(MathFidelity fidelity);

/// TT-NN's WormholeComputeKernelConfig.
struct ComputeConfig {
  MathFidelity math_fidelity = MathFidelity::HiFi2;
  bool math_approx_mode = false;
  bool fp32_dest_acc_en = true;
  bool packer_l1_acc = false;

  friend bool operator==(const ComputeConfig&, const ComputeConfig&) = default;
};

/// tt_transformers' names for them: lofi, hifi2, hifi2na, hifi2fp16, hifi2nol1acc, hifi4, hifi4fp32. Throws
/// InvalidArgument for others.
ComputeConfig named_compute_config(std::string_view name);
/// "LoFi" to "HiFi4". Throws InvalidArgument for others.
MathFidelity parse_math_fidelity(std::string_view name);

/// The rule of thumb of the LLM report: HiFi4 for 16 and 32 bit weights, HiFi2 for BFLOAT8_B, LoFi for BFLOAT4_B and
/// below.
ComputeConfig default_compute_config(DataType weights);

} // namespace tessera
