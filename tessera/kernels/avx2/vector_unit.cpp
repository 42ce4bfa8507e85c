#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/vector_unit.inl"
} // namespace tessera::kernels::avx2
