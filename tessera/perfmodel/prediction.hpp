#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace tessera::perfmodel {

/// What a program's time is spent on, above all else.
enum class Bound { LAUNCH, MATRIX_UNIT, UNPACKER, VECTOR_UNIT, DRAM, NOC, ETHERNET, HOST };

/// "matrix unit", "DRAM", ...
std::string_view to_string(Bound bound);

/// Time on the card, predicted.
struct Prediction {
  double time_ns = 0; ///< from its start to the start of the next program, where that follows at once
  Bound bound = Bound::LAUNCH;
  double cycles = 0;           ///< of the worker cores, without launch and drain
  std::int64_t dram_bytes = 0; ///< read and written
  double ideal_ns = 0; ///< the roofline: peak matrix unit or peak DRAM or peak Ethernet, whichever takes longest
  double error = 0;    ///< relative; half of all predictions of the kind lie within

  /// Part of the roofline that is reached, 0..1.
  double roofline() const { return time_ns > 0 ? std::min(1.0, ideal_ns / time_ns) : 0; }
};

/// Parts that overlap, not quite: the p-norm with p = 6. Fitted curves of tuned kernels bend no sharper.
inline double overlap(std::initializer_list<double> parts, double p = 6) {
  const double most = std::max(parts);
  if (most <= 0) return 0;
  double sum = 0;
  for (const double part : parts) sum += std::pow(part / most, p);
  return most * std::pow(sum, 1 / p);
}

} // namespace tessera::perfmodel
