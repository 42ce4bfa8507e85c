#include "tessera/kernels/kernels.hpp"

#include <cpuid.h>

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

// The instructions that cmake/tessera_targets.cmake lets the compiler use for each ISA. Two of them are asked of CPUID
// itself, because not every compiler's __builtin_cpu_supports knows their names.

struct CpuId {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
};
/// All zero where the CPU lacks the leaf.
CpuId cpu_id(unsigned leaf, unsigned subleaf) {
  CpuId id;
  __get_cpuid_count(leaf, subleaf, &id.eax, &id.ebx, &id.ecx, &id.edx);
  return id;
}

bool has_avx2() {
  const bool f16c = (cpu_id(1, 0).ecx >> 29 & 1) != 0;
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  const bool bf16 = (cpu_id(7, 1).eax >> 5 & 1) != 0;
  return bf16 && has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vnni");
}

/// Best first.
constexpr std::array kTables = {
    Entry{avx512::table("avx512", 2, 40, 1), has_avx512},
    Entry{avx2::table("avx2", 4, 132, 33), has_avx2},
    Entry{scalar::table("scalar", 2, 36, 33), [] { return true; }},
};

const Kernels& choose() {
  const char* variable = std::getenv("TESSERA_ISA");
  const std::string_view forced = variable == nullptr ? "" : variable;
  for (const Entry& entry : kTables) {
    if ((forced.empty() || entry.table.isa == forced) && entry.cpu_has_it()) return entry.table;
  }
  throw base::InvalidArgument(
      fmt::format("[kernels] TESSERA_ISA must be scalar, avx2 or avx512, and the CPU must have it; received \"{}\"; "
                  "unset it to use "
                  "the best that the CPU has",
                  forced));
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
