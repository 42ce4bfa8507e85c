// From rows of bfloat16 to columns of tiles. Included inside an ISA's namespace, over its vector of 16-bit words:
// kWords lanes, one row's values for as many steps of k; `Words` and its functions are in the file that includes this.

namespace {

inline constexpr std::int64_t kRows = kFaceWidth; // rows of the source that one face row holds

/// The words of kCount vectors one after the other: word 0 of all of them, word 1 of all, ... within each 128-bit lane.
/// Each round of a perfect shuffle doubles the runs that lie right.
template <std::int64_t kCount>
inline void interleave(Words (&words)[kCount]) {
#pragma GCC unroll 4
  for (std::int64_t run = 1; run < kCount; run *= 2) {
    Words shuffled[kCount];
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kCount / 2; ++i) {
      shuffled[2 * i] = unpack_low(words[i], words[i + kCount / 2]);
      shuffled[2 * i + 1] = unpack_high(words[i], words[i + kCount / 2]);
    }
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kCount; ++i) words[i] = shuffled[i];
  }
}

/// Stores interleaved words: 8 steps of k in each 128-bit lane, kCount words for each step, `face_bytes` from the face
/// of steps 0 to 15 to that of steps 16 to 31.
template <std::int64_t kCount>
inline void store_steps(const Words (&words)[kCount], std::byte* face, std::int64_t face_bytes) {
  constexpr std::int64_t kLaneBytes = kCount * 16;
#pragma GCC unroll 4
  for (std::int64_t lane = 0; lane < kWords / 8; ++lane) {
    std::byte* out = face + lane / 2 * face_bytes + lane % 2 * kLaneBytes;
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kCount; ++i) store_lane(out + i * 16, words[i], static_cast<int>(lane));
  }
}

/// Exponents below this are so few that what they need is done for them alone: see round_words.
inline constexpr int kFarFromZero = 16;

/// Codes of kBits bits of magnitude under the exponents of their steps: numerics::pack_group for bfloat16 values. Their
/// significands have 8 bits, so what the alignment shift loses of 24 never decides the rounding, and 16 bits suffice;
/// a sum that saturates is one whose magnitude does. kDenormals: an exponent below kFarFromZero may occur. Without, a
/// value with exponent 0 is so far below that it is shifted to nothing, hidden bit or not.
template <int kBits, bool kDenormals>
inline Words round_words(Words value, Words exponent) {
  constexpr int kDropped = 16 - kBits;
  const Words own = word_shift_right<8>(word_shift_left<1>(value));
  Words significand = word_or(word_shift_left<8>(value), broadcast_word(0x8000));
  significand = align_significand(significand, word_sub(exponent, own));
  if constexpr (kDenormals) significand = where_nonzero(own, significand);
  const Words odd = word_and(word_shift_right<kDropped>(significand), broadcast_word(1));
  const Words half = broadcast_word((1 << (kDropped - 1)) - 1);
  const Words magnitude = word_shift_right<kDropped>(add_saturated(add_saturated(significand, half), odd));
  const Words sign = word_and(word_shift_right<15 - kBits>(value), broadcast_word(1 << kBits));
  return add_where_nonzero(magnitude, sign);
}

/// The codes of 16 rows, 16 bits' worth of neighbours in each word.
template <int kBits, bool kDenormals, std::int64_t kCount>
inline void round_rows(const Words (&rows)[kRows], Words exponent, Words (&codes)[kCount]) {
  constexpr std::int64_t kCodes = kRows / kCount;
#pragma GCC unroll 8
  for (std::int64_t word = 0; word < kCount; ++word) {
    codes[word] = round_words<kBits - 1, kDenormals>(rows[word * kCodes], exponent);
#pragma GCC unroll 8
    for (std::int64_t i = 1; i < kCodes; ++i) {
      const Words code = round_words<kBits - 1, kDenormals>(rows[word * kCodes + i], exponent);
      codes[word] = word_or(codes[word], word_shift_left(code, static_cast<int>(i * kBits)));
    }
  }
}

/// NaN to 0x7FC0, as rounding from fp32 gives it.
inline Words quiet_nans(Words value) {
  const Words beyond_infinity = sub_saturated(word_and(value, broadcast_word(0x7FFF)), broadcast_word(0x7F80));
  return select_nonzero(beyond_infinity, broadcast_word(0x7FC0), value);
}

/// 16 rows by kWords steps of k to the faces that start with face `face`.
template <DataType D>
inline void convert_block(Words (&rows)[kRows], std::byte* tile, std::int64_t face) {
  constexpr std::int64_t kBits = element_bits(D);
  constexpr std::int64_t kFaceBytes = kFaceHeight * kFaceWidth * kBits / 8;
  std::byte* data = tile + data_offset<D>(face * kFaceHeight, 0);
  if constexpr (D == DataType::BFLOAT16) {
#pragma GCC unroll 16
    for (Words& row : rows) row = quiet_nans(row);
    interleave<kRows>(rows);
    store_steps<kRows>(rows, data, 2 * kFaceBytes);
  } else {
    Words most = broadcast_word(0); // without signs, exponents lead
#pragma GCC unroll 16
    for (const Words& row : rows) most = word_max(most, word_shift_left<1>(row));
    const Words exponent = word_shift_right<8>(most);
    store_exponents(tile + face * kFaceHeight, exponent);
    constexpr std::int64_t kCount = kRows * kBits / 16;
    Words codes[kCount];
    if (any_below(exponent, kFarFromZero)) {
      round_rows<kBits, true>(rows, exponent, codes);
    } else {
      round_rows<kBits, false>(rows, exponent, codes);
    }
    interleave<kCount>(codes);
    store_steps<kCount>(codes, data, 2 * kFaceBytes);
  }
}

/// Copies a tile, a multiple of 64 bytes, to memory that is not read soon: past the caches, which would first fetch what
/// is overwritten.
inline void write_once(std::byte* out, const std::byte* tile, std::int64_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) {
    std::memcpy(out, tile, static_cast<std::size_t>(bytes));
    return;
  }
  for (std::int64_t i = 0; i < bytes; i += kWords * 2) stream_words(out + i, load_words(tile + i));
}

/// One tile from 32 rows of 32 values.
template <DataType D>
inline void convert_tile(const std::byte* const* rows, std::int64_t offset, std::byte* tile) {
  for (std::int64_t half = 0; half < 2; ++half) {
#pragma GCC unroll 1
    for (std::int64_t step = 0; step < kTileHeight; step += kWords) {
      Words block[kRows];
#pragma GCC unroll 16
      for (std::int64_t row = 0; row < kRows; ++row) {
        block[row] = load_words(rows[half * kRows + row] + offset + 2 * step);
      }
      convert_block<D>(block, tile, half + step / kFaceHeight * 2);
    }
  }
}

} // namespace

void convert_tile_column(const std::byte* const* rows, std::int64_t lanes, std::int64_t depth, const Tiles& tiles,
                         std::int64_t tile_column) noexcept {
  constexpr std::int64_t kRowBytes = kTileHeight * 2; // of one tile
  // Rows are far apart, and the processor's own prefetcher starts anew at each: lines are asked for this far ahead, and
  // at the end of the rows in those of the next column, which lie below in a matrix.
  constexpr std::int64_t kAhead = 4 * kRowBytes;
  const std::int64_t next_column = (kTileWidth - 1) * depth * 2;
  const auto convert = [&]<typename F>(F) {
    for (std::int64_t tile_row = 0; tile_row < tiles.tile_rows; ++tile_row) {
      std::byte* out = tiles.data +
                       tile_position(tiles.tile_rows, tiles.tile_columns, tile_row, tile_column) * F::kTileBytes;
      const std::int64_t offset = tile_row * kRowBytes;
      const std::int64_t bytes = smaller(depth * 2 - offset, kRowBytes);
      alignas(64) std::byte tile[F::kTileBytes];
      if (lanes == kTileWidth && bytes == kRowBytes) {
        const std::int64_t ahead = offset + kAhead + (offset + kAhead < depth * 2 ? 0 : next_column);
        for (std::int64_t row = 0; row < kTileWidth; ++row) prefetch(rows[row] + ahead);
        convert_tile<F::kType>(rows, offset, tile);
        write_once(out, tile, F::kTileBytes);
        continue;
      }
      alignas(64) std::byte padded[kTileWidth * kRowBytes] = {};
      const std::byte* padded_rows[kTileWidth];
      for (std::int64_t row = 0; row < kTileWidth; ++row) {
        padded_rows[row] = padded + row * kRowBytes;
        if (row < lanes && bytes > 0) {
          std::memcpy(padded + row * kRowBytes, rows[row] + offset, static_cast<std::size_t>(bytes));
        }
      }
      convert_tile<F::kType>(padded_rows, 0, tile);
      write_once(out, tile, F::kTileBytes);
    }
    _mm_sfence(); // what was written past the caches is seen by the thread that is told of it next
  };
  switch (tiles.dtype) {
    case DataType::BFLOAT16:
      return convert(Format<DataType::BFLOAT16>{});
    case DataType::BFLOAT8_B:
      return convert(Format<DataType::BFLOAT8_B>{});
    case DataType::BFLOAT4_B:
      return convert(Format<DataType::BFLOAT4_B>{});
    case DataType::BFLOAT2_B:
      return convert(Format<DataType::BFLOAT2_B>{});
    default:
      return;
  }
}

void random_bf16(std::uint64_t key, std::int64_t first, std::int64_t count, std::byte* out) noexcept {
  const VecI low = broadcast_int(static_cast<std::int32_t>(key));
  const VecI high = broadcast_int(static_cast<std::int32_t>(key >> 32));
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const VecI number = iadd(broadcast_int(static_cast<std::int32_t>(first + i)), lane_numbers());
    VecI hash = iadd(imul(number, broadcast_int(kRandomStep)), low);
    hash = imul(ixor(hash, shift_right<16>(hash)), broadcast_int(kRandomFirst));
    hash = ixor(hash, high);
    hash = imul(ixor(hash, shift_right<15>(hash)), broadcast_int(kRandomSecond));
    hash = ixor(hash, shift_right<15>(hash));
    const VecI bytes = broadcast_int(0x00FF00FF);
    const VecI pairs = iadd(iand(hash, bytes), iand(shift_right<8>(hash), bytes));
    const VecI sum = iadd(iand(pairs, broadcast_int(0xFFFF)), shift_right<16>(pairs));
    const Vec value = mul(to_float(isub(sum, broadcast_int(kRandomMean))), broadcast(kRandomScale));
    if (i + kLanes <= count) {
      store_u16(out + 2 * i, round_to_bfloat16(value));
    } else {
      std::byte last[2 * kLanes];
      store_u16(last, round_to_bfloat16(value));
      std::memcpy(out + 2 * i, last, static_cast<std::size_t>(2 * (count - i)));
    }
  }
}
