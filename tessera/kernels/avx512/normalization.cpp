#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx512 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/each_vector.inl"

#include "tessera/kernels/generic/normalization.inl"
} // namespace tessera::kernels::avx512
