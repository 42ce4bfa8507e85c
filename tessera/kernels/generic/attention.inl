// One block of keys of flash attention. Included inside an ISA's namespace, after exp.inl and register_tile.inl.

namespace {

inline constexpr std::int64_t kKeys = 32;
inline constexpr std::int64_t kKeyVectors = kKeys / kLanes;

/// Scales a row's raw scores of the keys from `key` on, caps them and adds what belongs to each key.
inline Vec finished_scores(const AttentionBlock& block, std::int64_t row, std::int64_t key, const float* scores) {
  Vec score = mul(load(scores + key), broadcast(block.scale));
  if (block.softcap != 0) score = soft_capped(score, broadcast(block.softcap), broadcast(2.0F / block.softcap));
  return block.bias == nullptr ? score : add(score, load(block.bias + row * kKeys + key));
}

/// Turns a row of raw scores into weights and moves the row's state to the new maximum. Keys outside [first, last)
/// weigh nothing. False when all weigh nothing.
inline bool weigh_keys(const AttentionState& state, const AttentionBlock& block, std::int64_t row, float* scores) {
  const VecI first = broadcast_int(block.first[row] - 1);
  const VecI last = broadcast_int(block.last[row]);
  const VecI nothing = bits(broadcast(-__builtin_inff()));
  Vec weights[kKeyVectors];
  Vec most = broadcast(state.maximum[row]);
#pragma GCC unroll 4
  for (int v = 0; v < kKeyVectors; ++v) {
    const VecI keys = iadd(lane_numbers(), broadcast_int(static_cast<std::int32_t>(v * kLanes)));
    const VecI scaled = bits(finished_scores(block, row, v * kLanes, scores));
    weights[v] = from_bits(select(both(greater(keys, first), greater(last, keys)), scaled, nothing));
    most = max(weights[v], most);
  }
  const float maximum = reduce_max(most);
  if (maximum == -__builtin_inff()) return false;
  Vec sum = zero();
#pragma GCC unroll 4
  for (int v = 0; v < kKeyVectors; ++v) {
    weights[v] = exp(sub(weights[v], broadcast(maximum)));
    sum = add(sum, weights[v]);
    store(scores + v * kLanes, weights[v]);
  }
  const Vec correction = exp(broadcast(state.maximum[row] - maximum));
  state.maximum[row] = maximum;
  store_first(state.sum + row, fma(broadcast(state.sum[row]), correction, broadcast(reduce_add(sum))), 1);
  float* accumulator = state.accumulator + row * block.head_dim;
  for (std::int64_t d = 0; d < block.head_dim; d += kLanes) {
    const std::int64_t lanes = smaller(block.head_dim - d, kLanes);
    store_first(accumulator + d, mul(load_first(accumulator + d, lanes), correction), lanes);
  }
  return true;
}

/// accumulator[rows] += weights * v over the keys [first, last) that all the rows share.
inline void add_values(const AttentionState& state, const AttentionBlock& block, std::int64_t row, std::int64_t rows,
                       const float* weights) {
  const std::int64_t width = block.head_dim;
  const std::int64_t first = block.first[row];
  const std::int64_t depth = block.last[row] - first;
  Product p{.a = weights + first,
            .a_stride = kKeys,
            .b = block.v + first * width,
            .b_stride = width,
            .depth = depth,
            .c = state.accumulator + row * width,
            .c_stride = width,
            .accumulate = true};
  std::int64_t d = 0;
  for (; d + 2 * kLanes <= width; d += 2 * kLanes, p.b += 2 * kLanes, p.c += 2 * kLanes) product<2>(rows, p);
  for (; d + kLanes <= width; d += kLanes, p.b += kLanes, p.c += kLanes) product<1>(rows, p);
  const std::int64_t left = width - d;
  for (std::int64_t i = 0; left > 0 && i < rows; ++i) {
    Vec sum = load_first(p.c + i * width, left);
    for (std::int64_t j = 0; j < depth; ++j) {
      sum = fma(broadcast(p.a[i * kKeys + j]), load_first(p.b + j * width, left), sum);
    }
    store_first(p.c + i * width, sum, left);
  }
}

} // namespace

void attention_block(const AttentionState& state, const AttentionBlock& block) noexcept {
  alignas(64) float scores[kTileRows * kKeys];
  bool weighs[kTileRows];
  for (std::int64_t start = 0; start < block.rows; start += kTileRows) {
    const std::int64_t rows = smaller(kTileRows, block.rows - start);
    for (std::int64_t j = 0; j < kKeys; j += 2 * kLanes) {
      product<2>(rows, {.a = block.q + start * block.head_dim,
                        .a_stride = block.head_dim,
                        .b = block.k_transposed + j,
                        .b_stride = kKeys,
                        .depth = block.head_dim,
                        .c = scores + j,
                        .c_stride = kKeys});
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      weighs[i] =
          block.first[start + i] < block.last[start + i] && weigh_keys(state, block, start + i, scores + i * kKeys);
    }
    // Rows with the same keys go together, so that a row never meets a value that it may not attend to.
    for (std::int64_t i = 0; i < rows;) {
      std::int64_t end = i + 1;
      while (end < rows && weighs[i] && weighs[end] && block.first[start + end] == block.first[start + i] &&
             block.last[start + end] == block.last[start + i]) {
        ++end;
      }
      if (weighs[i]) add_values(state, block, start + i, end - i, scores + i * kKeys);
      i = end;
    }
  }
}

void attention_finish(const AttentionState& state, std::int64_t rows, std::int64_t head_dim, float* out) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float sum = state.sum[row];
    const float* accumulator = state.accumulator + row * head_dim;
    for (std::int64_t d = 0; d < head_dim; d += kLanes) {
      const std::int64_t lanes = smaller(head_dim - d, kLanes);
      const Vec value = sum == 0 ? zero() : div(load_first(accumulator + d, lanes), broadcast(sum));
      store_first(out + row * head_dim + d, value, lanes);
    }
  }
}
