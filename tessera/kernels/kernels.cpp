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

/// Best first.
const std::array kTables = {
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
