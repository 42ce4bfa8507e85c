#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/each_vector.inl"

#include "tessera/kernels/generic/normalization.inl"
} // namespace tessera::kernels::avx2
