#include <type_traits>

#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx512 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/load_store.inl"
} // namespace tessera::kernels::avx512
