#include "tessera/spec/compute_config.hpp"

namespace tessera {

std::string_view to_string(MathFidelity fidelity) {
  switch (fidelity) {
    case MathFidelity::LoFi:
      return "LoFi";
    case MathFidelity::HiFi2:
      return "HiFi2";
    case MathFidelity::HiFi3:
      return "HiFi3";
    case MathFidelity::HiFi4:
      return "HiFi4";
  }
  return "?";
}

ComputeConfig default_compute_config(DataType weights) {
  switch (weights) {
    case DataType::BFLOAT8_B:
      return {.math_fidelity = MathFidelity::HiFi2};
    case DataType::BFLOAT4_B:
    case DataType::BFLOAT2_B:
      return {.math_fidelity = MathFidelity::LoFi};
    default:
      return {.math_fidelity = MathFidelity::HiFi4};
  }
}

} // namespace tessera
