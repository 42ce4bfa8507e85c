#include <type_traits>

#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/register_tile.inl"

#include "tessera/kernels/generic/matmul.inl"

void pack_bf16(const float* x, std::int64_t count, std::byte* out) noexcept {
  auto* const swapped = reinterpret_cast<float*>(out);
  for (std::int64_t k = 0; k < count; ++k) swapped[k ^ 1] = x[k];
}

void matmul_bf16_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  constexpr unsigned kDenormalsAreZero = 0x8040; // MXCSR: flush to zero, denormals are zero
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kDenormalsAreZero);
  for (std::int64_t c = 0; c < columns; ++c) {
    multiply_column<Order::PAIRS>(reinterpret_cast<const float*>(a),
                                  a_stride / static_cast<std::int64_t>(sizeof(float)), m, depth, w, first_column + c,
                                  out + c * m * kTileWidth);
  }
  _mm_setcsr(before);
}
} // namespace tessera::kernels::avx2
