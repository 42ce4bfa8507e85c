#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx512 {
#include "tessera/kernels/generic/vector_unit.inl"
} // namespace tessera::kernels::avx512
