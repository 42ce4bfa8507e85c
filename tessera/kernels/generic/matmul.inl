// Activations times a column of weight tiles. Included inside an ISA's namespace, after formats.inl and
// register_tile.inl.

#include "tessera/kernels/generic/matmul_column.inl"

void matmul_tile_column(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                        std::int64_t tile_column, float* out) noexcept {
  multiply_column<Order::ASCENDING>(a, a_stride, m, depth, w, tile_column, out);
}
