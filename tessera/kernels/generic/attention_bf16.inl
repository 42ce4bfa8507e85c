// Flash attention on bfloat16, block by block of keys. Included inside an ISA's namespace, after exp.inl and
// register_tile.inl.
//
// A "unit" is the 4 bytes that one step of a product broadcasts: a pair of bfloat16 values, or one of them widened, as
// the ISA multiplies them. The ISA's file has, besides its vectors:
//   kValuesOfUnit                       2 or 1
//   VecI-and-Vec dot(sum, a, b)         adds the products of the units of a and b
//   power_of_two(x)                     2^x for x up to some tens; 0 for -inf
//   keep_weights(sum, low, high, out)   rounds two vectors of weights to units at `out` and adds them to `sum`
//   MultiplyMode                        what must be set while products are computed

namespace {

inline constexpr std::int64_t kUnitBytes = 4;
inline constexpr std::int64_t kVectorBytes = kLanes * kUnitBytes;
inline constexpr std::int64_t kPanelKeys = kTileHeight;
inline constexpr std::int64_t kPanelSteps = kPanelKeys / kValuesOfUnit;
inline constexpr std::int64_t kWeightRowBytes = kAttentionKeys / kValuesOfUnit * kUnitBytes;
// Weights up to 2^8 relative to the reference are as exact as those up to 1, so that the sums are scaled again only
// where the largest score of a row has grown by more than that.
inline constexpr float kSlack = 8.0F;
inline constexpr float kLog2E = 1.44269504F;

inline std::int64_t least_of(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}
inline std::int64_t most_of(std::int64_t a, std::int64_t b) {
  return a < b ? b : a;
}

/// sum[i][v] += the products of `steps` units of row i of a, `a_stride` bytes apart, and vectors of b, `b_stride` bytes
/// from step to step; asks for a line a step of `ahead`. Inlined by force: the sums must stay in registers.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void add_products(const std::byte* a, std::int64_t a_stride, const std::byte* b,
                                                std::int64_t b_stride, std::int64_t steps, const Lines& ahead,
                                                Vec (&sum)[kRows][kVectors]) {
  // One address for four rows: as many as an instruction reaches with multiples of the stride.
  const std::byte* rows[(kRows + 3) / 4];
#pragma GCC unroll 3
  for (int i = 0; i < kRows; i += 4) rows[i / 4] = a + i * a_stride;
  for (std::int64_t step = 0; step < steps; ++step) {
    VecI right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load_bits(b + v * kVectorBytes);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      std::int32_t unit;
      __builtin_memcpy(&unit, rows[i / 4] + i % 4 * a_stride, sizeof unit);
      const VecI left = broadcast_int(unit);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = dot(sum[i][v], left, right[v]);
    }
#pragma GCC unroll 3
    for (int i = 0; i < kRows; i += 4) rows[i / 4] += kUnitBytes;
    b += b_stride;
    if (step < ahead.count) ask_for_line(ahead.first + step * 64);
  }
}

/// The lines from number `step` on, for a row tile that asks for any: the first, so that none is asked for twice.
inline Lines lines_from(const Lines& lines, std::int64_t step, std::int64_t row) {
  if (row != 0 || step >= lines.count) return {};
  return {lines.first + step * 64, lines.count - step};
}

/// What one call for a tile of rows works on: keys [begin, end) of the block, whole panels.
struct RowTile {
  std::int64_t row;
  std::int64_t begin;
  std::int64_t end;
  float* scores;      ///< [kRows, kAttentionKeys]
  std::byte* weights; ///< [kRows] of kWeightRowBytes
};

/// Scores in units of log2: the weight of a key is 2^(score - reference).
template <int kRows>
inline void score_keys(const PackedAttention& block, const RowTile& tile) {
  constexpr std::int64_t kStride = kPanelKeys * kUnitBytes;
  const std::int64_t q_stride = block.width * kUnitBytes / kValuesOfUnit;
  const std::int64_t panel_bytes = block.width * kPanelKeys * kUnitBytes / kValuesOfUnit;
  const std::int64_t steps = (block.head_dim + 1) / 2 * 2 / kValuesOfUnit;
  const Vec scale = broadcast(block.scale * kLog2E);
  for (std::int64_t key = tile.begin; key < tile.end; key += 2 * kLanes) {
    const std::byte* panel =
        block.keys + key / kPanelKeys * panel_bytes + key % kPanelKeys * kUnitBytes;
    Vec sum[kRows][2] = {};
    add_products<kRows, 2>(block.q + tile.row * q_stride, q_stride, panel, kStride, steps,
                           lines_from(block.ask_with_keys, (key - tile.begin) / (2 * kLanes) * steps, tile.row), sum);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      store(tile.scores + i * kAttentionKeys + key, mul(sum[i][0], scale));
      store(tile.scores + i * kAttentionKeys + key + kLanes, mul(sum[i][1], scale));
    }
  }
}

/// Caps the scores of a row and adds what belongs to each key. Scores are in units of log2 here.
[[gnu::noinline]] inline void adjust_scores(const PackedAttention& block, const RowTile& tile, std::int64_t row,
                                            float* scores) {
  const float cap = block.softcap * kLog2E;
  for (std::int64_t key = tile.begin; key < tile.end; key += kLanes) {
    Vec score = load(scores + key);
    if (cap != 0) score = soft_capped(score, broadcast(cap), broadcast(2.0F / cap));
    if (block.bias != nullptr) score = fma(load(block.bias + row * kAttentionKeys + key), broadcast(kLog2E), score);
    store(scores + key, score);
  }
}

/// Keys outside a row's range weigh nothing.
inline void mask_scores(float* scores, std::int64_t begin, std::int64_t end, std::int32_t first, std::int32_t last) {
  const VecI before = broadcast_int(first - 1);
  const VecI after = broadcast_int(last);
  const VecI nothing = bits(broadcast(-__builtin_inff()));
  for (std::int64_t key = begin; key < end; key += kLanes) {
    const VecI keys = iadd(lane_numbers(), broadcast_int(static_cast<std::int32_t>(key)));
    const Mask inside = both(greater(keys, before), greater(after, keys));
    store(scores + key, from_bits(select(inside, bits(load(scores + key)), nothing)));
  }
}

/// Moves a row's reference up to its largest score.
[[gnu::noinline]] inline void raise_reference(const AttentionSums& sums, std::int64_t row, std::int64_t width, Vec most) {
  const float reference = reduce_max(most);
  const Vec factor = power_of_two(broadcast(sums.reference[row] - reference));
  sums.reference[row] = reference;
  float* sum = sums.sum + row * kAttentionSumLanes;
  store(sum, mul(load(sum), factor));
  float* accumulator = sums.accumulator + row * width;
  for (std::int64_t d = 0; d < width; d += kLanes) store(accumulator + d, mul(load(accumulator + d), factor));
}

/// Turns the scores of one row into weights.
inline void weigh_keys(const AttentionSums& sums, const PackedAttention& block, std::int64_t row, std::int64_t begin,
                       std::int64_t end, const float* scores, std::byte* weights) {
  Vec most = load(scores + begin);
  for (std::int64_t key = begin + kLanes; key < end; key += kLanes) most = max(most, load(scores + key));
  if (any(above(most, broadcast(sums.reference[row] + kSlack)))) raise_reference(sums, row, block.width, most);
  const Vec reference = broadcast(sums.reference[row]);
  float* const total = sums.sum + row * kAttentionSumLanes;
  Vec sum = load(total);
  for (std::int64_t key = begin; key < end; key += 2 * kLanes) {
    const Vec low = power_of_two(sub(load(scores + key), reference));
    const Vec high = power_of_two(sub(load(scores + key + kLanes), reference));
    sum = keep_weights(sum, low, high, weights + key * kUnitBytes / kValuesOfUnit);
  }
  store(total, sum);
}

/// accumulator += weights * values, for vectors `vector` and kVectors - 1 more.
template <int kRows, int kVectors>
inline void add_values(const AttentionSums& sums, const PackedAttention& block, const RowTile& tile,
                       std::int64_t column) {
  float* accumulator = sums.accumulator + tile.row * block.width + column;
  const std::int64_t steps = (tile.end - tile.begin) / kValuesOfUnit;
  const std::int64_t b_stride = block.width * kUnitBytes;
  Vec sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = load(accumulator + i * block.width + v * kLanes);
  }
  add_products<kRows, kVectors>(tile.weights + tile.begin / kValuesOfUnit * kUnitBytes, kWeightRowBytes,
                                block.values + tile.begin / kValuesOfUnit * b_stride + column * kUnitBytes, b_stride,
                                steps,
                                lines_from(block.ask_with_values, column / (kVectors * kLanes) * steps, tile.row), sum);
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(accumulator + i * block.width + v * kLanes, sum[i][v]);
  }
}

/// The same for one row, without the values of keys outside its range: zero times Inf or NaN is not nothing.
inline void add_values_in_range(const AttentionSums& sums, const PackedAttention& block, std::int64_t row,
                                const std::byte* weights) {
  float* accumulator = sums.accumulator + row * block.width;
  const std::int64_t first = block.first[row];
  const std::int64_t last = block.last[row];
  // Whole pairs of keys, the members of which may have changed places.
  const std::int64_t end = (last + 1) / 2 * 2 / kValuesOfUnit;
  for (std::int64_t step = first / 2 * 2 / kValuesOfUnit; step < end; ++step) {
    // The keys of a unit stand in its bits, the first one lowest.
    std::uint32_t inside = 0;
    for (std::int64_t i = 0; i < kValuesOfUnit; ++i) {
      const std::int64_t key = kValuesOfUnit == 1 ? step ^ 1 : step * kValuesOfUnit + i;
      if (first <= key && key < last) inside |= (kValuesOfUnit == 1 ? ~0U : 0xFFFFU) << (16 * i);
    }
    std::int32_t unit;
    __builtin_memcpy(&unit, weights + step * kUnitBytes, sizeof unit);
    for (std::int64_t d = 0; d < block.width; d += kLanes) {
      const VecI values = load_bits(block.values + (step * block.width + d) * kUnitBytes);
      const VecI kept = iand(values, broadcast_int(static_cast<std::int32_t>(inside)));
      store(accumulator + d, dot(load(accumulator + d), broadcast_int(unit), kept));
    }
  }
}

/// Whether values hold Inf or NaN.
inline bool any_not_finite(const PackedAttention& block) {
  const VecI low = broadcast_int(0x7F80);
  const VecI high = broadcast_int(0x7F800000);
  const std::int64_t bytes = block.count / kValuesOfUnit * block.width * kUnitBytes;
  for (std::int64_t at = 0; at < bytes; at += kVectorBytes) {
    const VecI units = load_bits(block.values + at);
    if (any(equal(iand(units, high), high)) || any(equal(iand(units, low), low))) return true;
  }
  return false;
}

template <int kRows>
[[gnu::noinline]] void fold_rows(const AttentionSums& sums, const PackedAttention& block, const RowTile& tile,
                                 bool careful) {
  score_keys<kRows>(block, tile);
  for (int i = 0; i < kRows; ++i) {
    const std::int64_t row = tile.row + i;
    float* scores = tile.scores + i * kAttentionKeys;
    if (block.softcap != 0 || block.bias != nullptr) adjust_scores(block, tile, row, scores);
    if (block.first != nullptr) mask_scores(scores, tile.begin, tile.end, block.first[row], block.last[row]);
    weigh_keys(sums, block, row, tile.begin, tile.end, scores, tile.weights + i * kWeightRowBytes);
  }
  if (careful) {
    for (int i = 0; i < kRows; ++i)
      add_values_in_range(sums, block, tile.row + i, tile.weights + i * kWeightRowBytes);
    return;
  }
  std::int64_t column = 0;
  for (; column + 2 * kLanes <= block.width; column += 2 * kLanes) add_values<kRows, 2>(sums, block, tile, column);
}

} // namespace

void attention_bf16(const AttentionSums& sums, const PackedAttention& block) noexcept {
  [[maybe_unused]] const MultiplyMode mode;
  alignas(64) float scores[kTileRows * kAttentionKeys];
  alignas(64) std::byte weights[kTileRows * kWeightRowBytes];
  const bool careful = block.first != nullptr && any_not_finite(block);
  const std::int64_t tiles = (block.rows + kTileRows - 1) / kTileRows;
  std::int64_t row = 0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t height = (block.rows - row + tiles - t - 1) / (tiles - t);
    RowTile tile{.row = row, .begin = 0, .end = block.count, .scores = scores, .weights = weights};
    if (block.first != nullptr) {
      // Panels that none of these rows attends to are left out.
      std::int64_t first = block.count;
      std::int64_t last = 0;
      for (std::int64_t i = row; i < row + height; ++i) {
        if (block.first[i] >= block.last[i]) continue;
        first = least_of(first, block.first[i]);
        last = most_of(last, block.last[i]);
      }
      tile.begin = first / kPanelKeys * kPanelKeys;
      tile.end = (last + kPanelKeys - 1) / kPanelKeys * kPanelKeys;
    }
    if (tile.begin < tile.end) {
      with_rows<kTileRows>(height,
                           [&](auto count) { fold_rows<decltype(count)::value>(sums, block, tile, careful); });
    }
    row += height;
  }
}

void attention_merge(const AttentionSums& into, const AttentionSums& from, std::int64_t rows,
                     std::int64_t width) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float reference = into.reference[row] < from.reference[row] ? from.reference[row] : into.reference[row];
    const Vec mine = power_of_two(broadcast(into.reference[row] - reference));
    const Vec other = power_of_two(broadcast(from.reference[row] - reference));
    into.reference[row] = reference;
    const auto merge = [&](float* a, const float* b) { store(a, fma(load(b), other, mul(load(a), mine))); };
    merge(into.sum + row * kAttentionSumLanes, from.sum + row * kAttentionSumLanes);
    for (std::int64_t d = 0; d < width; d += kLanes)
      merge(into.accumulator + row * width + d, from.accumulator + row * width + d);
  }
}

void attention_divide(const AttentionSums& sums, std::int64_t rows, std::int64_t width, float* out) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float sum = reduce_add(load(sums.sum + row * kAttentionSumLanes));
    for (std::int64_t d = 0; d < width; d += kLanes) {
      const Vec value = load(sums.accumulator + row * width + d);
      store(out + row * width + d, sum == 0 ? zero() : div(value, broadcast(sum)));
    }
  }
}
