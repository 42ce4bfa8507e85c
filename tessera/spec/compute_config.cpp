#include "tessera/spec/compute_config.hpp"

#include <fmt/ranges.h>

#include <array>
#include <vector>

#include "tessera/base/error.hpp"

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

MathFidelity parse_math_fidelity(std::string_view name) {
  for (const MathFidelity fidelity :
       {MathFidelity::LoFi, MathFidelity::HiFi2, MathFidelity::HiFi3, MathFidelity::HiFi4}) {
    if (to_string(fidelity) == name) return fidelity;
  }
  throw base::InvalidArgument(
      fmt::format("[compute config] math_fidelity LoFi, HiFi2, HiFi3 or HiFi4 is required; received \"{}\"", name));
}

ComputeConfig named_compute_config(std::string_view name) {
  struct Named {
    std::string_view name;
    ComputeConfig config; // fidelity, approximate functions, 32-bit Dst, sums in L1
  };
  static constexpr std::array kNamed = {
      Named{"lofi", {MathFidelity::LoFi, false, false, true}},
      Named{"hifi2", {MathFidelity::HiFi2, true, true, true}},
      Named{"hifi2na", {MathFidelity::HiFi2, false, false, false}},
      Named{"hifi2fp16", {MathFidelity::HiFi2, false, false, true}},
      Named{"hifi2nol1acc", {MathFidelity::HiFi2, true, true, false}},
      Named{"hifi4", {MathFidelity::HiFi4, false, true, true}},
      Named{"hifi4fp32", {MathFidelity::HiFi4, false, true, false}},
  };
  std::vector<std::string_view> names;
  for (const Named& named : kNamed) {
    if (named.name == name) return named.config;
    names.push_back(named.name);
  }
  throw base::InvalidArgument(
      fmt::format("[compute config] one of {} is required; received \"{}\"", fmt::join(names, ", "), name));
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
