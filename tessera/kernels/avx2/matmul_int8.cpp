#include <algorithm>
#include <type_traits>

#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

// LoFi products of 8-bit integers, held in fp32: sums of 32 products are below 2^24 and therefore exact. AVX2 has no
// integer multiply-add that would be faster without saturating.

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/register_tile.inl"

namespace {
#include "tessera/kernels/generic/int8.inl"

constexpr std::int64_t kBlockBytes =
    (kTileHeight + 1) * std::int64_t{sizeof(float)}; ///< of 32 activations and their scale

struct WeightTile {
  float integers[kTileElements];
  float scale[2];
};

inline void decode_tile(const std::byte* tile, WeightTile& out) {
  for (std::int64_t half = 0; half < 2; ++half) {
    int most = 0;
    for (std::int64_t row = 0; row < kTileHeight; ++row)
      most = std::max(most, static_cast<int>(tile[group_index(row, half)]));
    out.scale[half] = weight_scale(most);
    for (std::int64_t row = 0; row < kTileHeight; ++row) {
      const std::int64_t group = group_index(row, half);
      const int distance = most - static_cast<int>(tile[group]);
      const Vec factor = broadcast(distance < kDroppedExponents ? 1.0F / static_cast<float>(1 << distance) : 0.0F);
      for (std::int64_t part = 0; part < kParts; ++part) {
        const Vec codes = load_codes4(tile + data_offset<DataType::BFLOAT4_B>(group, part));
        store(out.integers + row * kTileWidth + half * kFaceWidth + part * kLanes,
              to_float(round_to_int(mul(codes, factor))));
      }
    }
  }
}

/// out += scales * (a * weights), or out = that for the first tile.
inline void multiply_tile(const std::byte* a, std::int64_t a_stride, std::int64_t m, const WeightTile& w, bool first,
                          float* out) {
  alignas(64) float sums[kTileRows * kTileWidth];
  for (std::int64_t row = 0; row < m; row += kTileRows) {
    const std::int64_t rows = smaller(kTileRows, m - row);
    const std::byte* block = a + row * a_stride;
    for (std::int64_t j = 0; j < kTileWidth; j += 2 * kLanes) {
      product<2>(rows, {.a = reinterpret_cast<const float*>(block),
                        .a_stride = a_stride / std::int64_t{sizeof(float)},
                        .b = w.integers + j,
                        .b_stride = kTileWidth,
                        .depth = kTileHeight,
                        .c = sums + j,
                        .c_stride = kTileWidth});
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      float scale;
      __builtin_memcpy(&scale, block + i * a_stride + kTileHeight * sizeof(float), sizeof scale);
      for (std::int64_t j = 0; j < kTileWidth; j += kLanes) {
        float* const at = out + (row + i) * kTileWidth + j;
        const Vec value = mul(load(sums + i * kTileWidth + j), broadcast(w.scale[j / kFaceWidth]));
        store(at, fma(value, broadcast(scale), first ? zero() : load(at)));
      }
    }
  }
}

void multiply_column(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                     std::int64_t tile_column, float* out) {
  constexpr std::int64_t kTileBytes = tile_bytes(DataType::BFLOAT4_B);
  const std::byte* tile = w.data + tile_position(w.tile_rows, w.tile_columns, 0, tile_column) * kTileBytes;
  const std::int64_t step = tile_step(w.tile_columns, tile_column) * kTileBytes;
  for (std::int64_t start = 0; start < depth; start += kTileHeight, tile += step, a += kBlockBytes) {
    alignas(64) WeightTile weights;
    decode_tile(tile, weights);
    multiply_tile(a, a_stride, m, weights, start == 0, out);
  }
}

} // namespace

void pack_int8(const float* x, std::int64_t count, std::byte* out) noexcept {
  constexpr int kVectors = kTileHeight / kLanes;
  for (std::int64_t k = 0; k < count; k += kTileHeight, out += kBlockBytes) {
    const QuantisedBlock<kVectors> block(x + k);
    for (std::int64_t part = 0; part < kVectors; ++part)
      store(reinterpret_cast<float*>(out) + part * kLanes, to_float(block.integers[part]));
    __builtin_memcpy(out + kTileHeight * sizeof(float), &block.scale, sizeof(float));
  }
}

void matmul_int8_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  for (std::int64_t c = 0; c < columns; ++c)
    multiply_column(a, a_stride, m, depth, w, first_column + c, out + c * m * kTileWidth);
}

} // namespace tessera::kernels::avx2
