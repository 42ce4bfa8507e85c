#pragma once

#include "tessera/kernels/kernels.hpp"

// The functions of every instruction set. Private to this folder.

namespace tessera::kernels::scalar {
#include "tessera/kernels/generic/functions.inl"
} // namespace tessera::kernels::scalar
namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/functions.inl"
} // namespace tessera::kernels::avx2
namespace tessera::kernels::avx512 {
#include "tessera/kernels/generic/functions.inl"
} // namespace tessera::kernels::avx512
