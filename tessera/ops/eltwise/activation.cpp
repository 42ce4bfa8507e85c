#include "tessera/ops/eltwise/activation.hpp"

#include <array>

namespace tessera::ops {
namespace {

struct Entry {
  std::string_view name;
  void (*kernels::Kernels::*function)(const float*, std::int64_t, float*) noexcept;
  std::int64_t flops;
};
/// In the order of the enumeration.
constexpr std::array kEntries = {
    Entry{"NONE", nullptr, 0},
    Entry{"SILU", &kernels::Kernels::silu, 4},
    Entry{"GELU", &kernels::Kernels::gelu, 5},
    Entry{"GELU_TANH", &kernels::Kernels::gelu_tanh, 8},
    Entry{"RELU", &kernels::Kernels::relu, 1},
};

const Entry& entry(Activation activation) {
  return kEntries[static_cast<std::size_t>(activation)];
}

} // namespace

std::string_view to_string(Activation activation) {
  return entry(activation).name;
}

std::int64_t flops_of(Activation activation) {
  return entry(activation).flops;
}

void apply(Activation activation, std::int64_t count, float* values) {
  if (const auto function = entry(activation).function) (kernels::kernels().*function)(values, count, values);
}

} // namespace tessera::ops
