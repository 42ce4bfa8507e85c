// The register tile of every matrix product. Included inside an ISA's namespace.

namespace {

/// A small product in fp32: c[i, j] = (accumulate ? c[i, j] : 0) + sum over k of a[i, k] * b[k, j], one chain of fma
/// per sum, k ascending. `columns` is known from the vectors that a call covers.
struct Product {
  const float* a = nullptr; ///< [rows, depth]
  std::int64_t a_stride = 0;
  const float* b = nullptr; ///< [depth, columns]
  std::int64_t b_stride = 0;
  std::int64_t depth = 0;
  float* c = nullptr; ///< [rows, columns]
  std::int64_t c_stride = 0;
  bool accumulate = false;
};

/// kRows rows by kVectors vectors, all sums in registers.
template <int kRows, int kVectors>
inline void register_tile(const Product& p) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = p.accumulate ? load(p.c + i * p.c_stride + v * kLanes) : zero();
  }
  const float* a = p.a;
  const float* b = p.b;
  for (std::int64_t k = 0; k < p.depth; ++k) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec value = broadcast(a[i * p.a_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = fma(value, row[v], sum[i][v]);
    }
    ++a;
    b += p.b_stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(p.c + i * p.c_stride + v * kLanes, sum[i][v]);
  }
}

/// Calls `body` with `rows` as a compile-time constant. REQUIRES: 1 <= rows <= kMost.
template <int kMost, typename Body>
inline void with_rows(std::int64_t rows, const Body& body) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return with_rows<kMost - 1>(rows, body);
  }
  body(std::integral_constant<int, kMost>{});
}

/// Any number of rows by kVectors vectors, in tiles of nearly equal height: one row alone would wait for its chain.
template <int kVectors>
inline void product(std::int64_t rows, const Product& whole) {
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  std::int64_t row = 0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t height = (rows - row + tiles - t - 1) / (tiles - t);
    Product part = whole;
    part.a += row * whole.a_stride;
    part.c += row * whole.c_stride;
    with_rows<kTileRows>(height, [&](auto count) { register_tile<decltype(count)::value, kVectors>(part); });
    row += height;
  }
}

} // namespace
