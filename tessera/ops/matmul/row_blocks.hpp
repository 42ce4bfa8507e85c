#pragma once

#include <algorithm>
#include <cstdint>

#include "tessera/spec/shape.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {

/// Rows that one block should have: fewer do not outweigh decoding the weights once more, more gain nothing by it.
struct RowsOfBlock {
  std::int64_t least;
  std::int64_t most;
};

/// The rows of a product's left side in runs of whole tiles, nearly equal ones: so far as the limits allow, a run stays
/// in a level 2 cache of 1 MiB while columns of weights pass by.
struct RowBlocks {
  std::int64_t rows;
  std::int64_t count;

  RowBlocks(std::int64_t row_count, std::int64_t row_bytes, const RowsOfBlock& limits) : rows(row_count) {
    constexpr std::int64_t kBlockBytes = 640 << 10;
    const std::int64_t wanted = std::min(div_up(rows * row_bytes, kBlockBytes), rows / limits.least);
    count = std::max({wanted, div_up(rows, limits.most), std::int64_t{1}});
  }

  /// The same rows in blocks as many for one thread as for another, where there are more blocks than threads.
  RowBlocks shared_by(std::int64_t threads) const {
    RowBlocks result = *this;
    if (count > threads) result.count = std::min(round_up(count, threads), div_up(rows, kTileHeight));
    return result;
  }

  /// The first row of block `number`; of number `count`, the end.
  std::int64_t begin(std::int64_t number) const {
    return std::min(number * div_up(rows, kTileHeight) / count * kTileHeight, rows);
  }
  std::int64_t rows_of(std::int64_t number) const { return begin(number + 1) - begin(number); }
};

} // namespace tessera::ops
