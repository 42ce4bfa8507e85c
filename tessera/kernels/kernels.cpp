#include "tessera/kernels/kernels.hpp"

#include <array>
#include <cstdlib>

#include "tessera/base/error.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels {
namespace {

struct Entry {
  Kernels table;
  bool (*cpu_has_it)();
};

// The instructions that cmake/tessera_targets.cmake lets the compiler use for each ISA.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}

/// Best first.
const std::array kTables = {
    Entry{avx512::table("avx512"), has_avx512},
    Entry{avx2::table("avx2"), has_avx2},
    Entry{scalar::table("scalar"), [] { return true; }},
};

const Kernels& choose() {
  const char* forced = std::getenv("TESSERA_ISA");
  if (forced == nullptr || *forced == '\0') {
    for (const Entry& entry : kTables) {
      if (entry.cpu_has_it()) return entry.table;
    }
  }
  const Kernels* table = forced == nullptr ? nullptr : kernels_for(forced);
  base::require(
      table != nullptr,
      "[kernels] TESSERA_ISA must be scalar, avx2 or avx512, and the CPU must have it; received \"{}\"; unset "
      "it to use the best that the CPU has",
      forced == nullptr ? "" : forced);
  return *table;
}

} // namespace

const Kernels& kernels() {
  static const Kernels& table = choose();
  return table;
}

const Kernels* kernels_for(std::string_view isa) {
  for (const Entry& entry : kTables) {
    if (entry.table.isa == isa && entry.cpu_has_it()) return &entry.table;
  }
  return nullptr;
}

} // namespace tessera::kernels
