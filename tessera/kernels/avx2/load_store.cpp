#include <type_traits>

#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/load_store.inl"
} // namespace tessera::kernels::avx2
