#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/spec/data_type.hpp"
#include "tessera/spec/decomposition.hpp"

namespace tessera::kernels {

/// One matrix of a tiled tensor in the memory behind a device: its tiles in the order of tile_position
/// (tessera/spec/tile.hpp); inside a tile the bytes are the card's own.
struct ConstTiles {
  const std::byte* data = nullptr;
  DataType dtype = DataType::BFLOAT16;
  std::int64_t tile_rows = 0;
  std::int64_t tile_columns = 0;
};
struct Tiles {
  std::byte* data = nullptr;
  DataType dtype = DataType::BFLOAT16;
  std::int64_t tile_rows = 0;
  std::int64_t tile_columns = 0;

  operator ConstTiles() const { return {data, dtype, tile_rows, tile_columns}; }
};

/// Running state of softmax(q k^T) v for `rows` query rows, updated block by block of keys (Milakov and Gimelshein,
/// "Online normalizer calculation for softmax"; Dao et al., FlashAttention, algorithm 1).
struct AttentionState {
  float* maximum = nullptr;     ///< [rows], largest scaled score so far; starts at -inf
  float* sum = nullptr;         ///< [rows], sum of exp(score - maximum); starts at 0
  float* accumulator = nullptr; ///< [rows, head_dim], weighted sum of v rows; starts at 0
};

/// What one block of keys and values means to the query rows.
struct AttentionBlock {
  const float* q = nullptr; ///< [rows, head_dim]
  std::int64_t rows = 0;
  std::int64_t head_dim = 0;
  const float* k_transposed = nullptr; ///< [head_dim, 32]: lane j is key j of the block
  const float* v = nullptr;            ///< [32, head_dim]
  const std::int32_t* first = nullptr; ///< [rows]: row i attends to keys first[i] <= j < last[i] of the block
  const std::int32_t* last = nullptr;  ///< [rows]
  float scale = 1.0F;
  float softcap = 0.0F;        ///< a scaled score s becomes softcap * tanh(s / softcap); 0: it stays
  const float* bias = nullptr; ///< [rows, 32], added to the scores last; null: none
};

/// Most keys in one block of attention_bf16.
inline constexpr std::int64_t kAttentionKeys = 128;
/// Floats that a row's sum of weights is spread over.
inline constexpr std::int64_t kAttentionSumLanes = 16;
/// Where AttentionSums::reference starts: below every score that means anything.
inline constexpr float kAttentionLowest = -1e30F;

/// Running state of attention_bf16: a key's weight is 2^(scale * log2(e) * q k - reference). The reference follows the
/// row's largest score, within a slack, so that it seldom moves.
struct AttentionSums {
  float* reference = nullptr;   ///< [rows]; starts at kAttentionLowest
  float* sum = nullptr;         ///< [rows, kAttentionSumLanes], all of which add up to the sum of weights; starts at 0
  float* accumulator = nullptr; ///< [rows, width], weighted sum of v rows; starts at 0
};

/// One row of tiles of a matrix.
struct TileRow {
  ConstTiles tiles;
  std::int64_t row = 0;
};

/// Lines of 64 bytes that will be read soon, one after another in memory. None: first is not used.
struct Lines {
  const std::byte* first = nullptr;
  std::int64_t count = 0;
};

/// One block of keys and values, and the rows of queries that they meet. `width` is head_dim in whole tiles.
struct PackedAttention {
  const std::byte* q = nullptr; ///< [rows, width], by pack_bf16; zeros beyond head_dim
  std::int64_t rows = 0;
  std::int64_t head_dim = 0;
  std::int64_t width = 0;
  const std::byte* keys = nullptr;     ///< panels by attention_pack_keys, one after another
  const std::byte* values = nullptr;   ///< panels by attention_pack_values
  std::int64_t count = 0;              ///< of keys: whole panels of 32, kAttentionKeys at most
  const std::int32_t* first = nullptr; ///< [rows]: row i attends to keys first[i] <= j < last[i]; null: to all
  const std::int32_t* last = nullptr;  ///< [rows]
  float scale = 1.0F;
  float softcap = 0.0F;        ///< as in AttentionBlock
  const float* bias = nullptr; ///< [rows, kAttentionKeys]; null: none
  Lines ask_with_keys;         ///< asked for while the queries meet the keys
  Lines ask_with_values;       ///< and while they meet the values
};

/// One column of tiles of a product on its way into a tensor: sum + bias, + residual, negative ones to zero, rounded.
struct ProductColumn {
  const float* sums = nullptr; ///< [rows, 32]
  std::int64_t rows = 0;
  const float* bias = nullptr; ///< [32]; null: none
  ConstTiles residual;         ///< tiles where those go that are written; no data: none
  bool relu = false;
};

/// How the card's matrix unit multiplies (numerics::MatrixUnit).
struct MatrixUnitMode {
  int phases = 1; ///< of fidelity: 1 LoFi to 4 HiFi4
  bool dst_is_16_bit = false;
  bool cancellation_fault = true; ///< Wormhole's
};

/// How the card's vector unit computes (numerics::VectorUnit).
struct VectorUnitMode {
  bool wormhole = true;
  bool dst_is_16_bit = false;
  bool approximate = false;
};

/// Sums over a row.
struct Moments {
  double sum = 0;
  double sum_of_squares = 0;
};

/// Values that share one of block_maxima's maxima.
inline constexpr std::int64_t kMaximaBlock = 64;
/// Values of softmax_weights are multiples of this, 2^-33: sums of up to 2^20 of them are exact in double precision.
inline constexpr double kWeightStep = 0x1p-33;

/// The inner loops, one table per instruction set. All functions are pure, know pointers only, do not throw and do not
/// allocate. Pointers need natural alignment of their element only. Every ISA gives the bits of the scalar oracle for
/// loads, stores, matmul and element-wise sums and products; functions with exp, and sums over a row, agree with it
/// within the tolerance that their test states.
struct Kernels {
  std::string_view isa;

  /// out[0..count) = elements (row, first .. first+count) widened to fp32, exactly.
  /// REQUIRES: first + count <= 32 * tile_columns.
  void (*load_row)(const ConstTiles& tiles, std::int64_t row, std::int64_t first, std::int64_t count,
                   float* out) noexcept;
  /// Writes a whole row: `count` values from `in`, rounded to the nearest even in the tile's format, and zeros up to
  /// 32 * tile_columns. count == 0 clears the row.
  void (*store_row)(const Tiles& tiles, std::int64_t row, const float* in, std::int64_t count) noexcept;
  /// out[i * 32 + j] = element (i, j) of one tile.
  void (*load_tile)(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, float* out) noexcept;
  /// out[j * 32 + i] = element (i, j) of one tile.
  void (*load_tile_transposed)(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                               float* out) noexcept;
  /// Writes one tile from `rows` rows of 32 values, `stride` floats apart, rounded as in store_row, and zeros below
  /// them. REQUIRES: rows <= 32.
  void (*store_tile)(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                     const float* in, std::int64_t stride) noexcept;
  /// Writes a column of tiles from row of tiles `tile_row` on, as add, add, relu and store_tile do one after another.
  void (*store_product)(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                        const ProductColumn& product) noexcept;
  /// Writes zeros into row `row` and those below it in its row of tiles.
  void (*clear_rows)(const Tiles& tiles, std::int64_t row) noexcept;

  /// Writes one column of tiles from the bfloat16 rows of its transpose: element (k, 32 * tile_column + j) is
  /// rows[j][k] for j < lanes and k < depth, else zero. The bits are those of store_tile for the widened values; rows
  /// need no alignment. REQUIRES: 0 <= lanes <= 32; depth <= 32 * tile_rows; tiles in BFLOAT16, BFLOAT8_B, BFLOAT4_B or
  /// BFLOAT2_B.
  void (*convert_tile_column)(const std::byte* const* rows, std::int64_t lanes, std::int64_t depth, const Tiles& tiles,
                              std::int64_t tile_column) noexcept;
  /// Values number `first` to `first + count` of a sequence of bfloat16 values that `key` names: roughly normal, mean
  /// 0, standard deviation 0.02, the same on every ISA.
  void (*random_bf16)(std::uint64_t key, std::int64_t first, std::int64_t count, std::byte* out) noexcept;

  /// One column of tiles of a matmul: out[i * 32 + j] = sum over k of a[i * a_stride + k] * w(k, 32 * tile_column + j),
  /// for i in 0..m, j in 0..32. Each sum is one chain of fused multiply-adds in fp32, k ascending, starting at 0: the
  /// same bits for any m. REQUIRES: a has zeros for k in depth .. 32 * w.tile_rows, or w has.
  void (*matmul_tile_column)(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                             const ConstTiles& w, std::int64_t tile_column, float* out) noexcept;

  /// Bytes that one bfloat16 activation takes where matmul_bf16_tile_columns reads it: 2, or 4 where the instruction
  /// set has no products of bfloat16.
  std::int64_t packed_bytes = 0;
  /// Packs a row of activations for matmul_bf16_tile_columns. REQUIRES: the values are bfloat16 values; count is even.
  void (*pack_bf16)(const float* x, std::int64_t count, std::byte* out) noexcept;
  /// The same for the first `rows` rows and `count` columns of a tile, `stride` bytes from row to row. REQUIRES: a
  /// format that widens to bfloat16, any but FLOAT32; rows and count <= 32.
  void (*pack_bf16_tile)(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                         std::int64_t count, std::byte* out, std::int64_t stride) noexcept;
  /// As matmul_tile_column for packed activations, `a_stride` bytes from row to row, and for `columns` columns of tiles
  /// from `first_column` on: out[(c * m + i) * 32 + j] belongs to column first_column + c. Few rows read several
  /// columns together, up to four of which are worth giving at once. Two steps of k at a time, the odd one first: k =
  /// 1, 0, 3, 2, ..., and denormals count as zero, in operands and in sums, as they do on the card. That is what
  /// vdpbf16ps computes, so that every ISA gives the same bits. REQUIRES: weights in BFLOAT16, BFLOAT8_B or BFLOAT4_B;
  /// depth = 32 * w.tile_rows.
  void (*matmul_bf16_tile_columns)(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                                   const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                                   float* out) noexcept;

  /// Bytes of 32 activations and their scale where matmul_int8_tile_columns reads them.
  std::int64_t int8_block_bytes = 0;
  /// Rounds a row of activations to integers for matmul_int8_tile_columns, 32 at a time: x = scale * q with q in
  /// [-127, 127], to the nearest even, scale = the largest |x| / 127. A block below 2^-100 counts as zero; one that
  /// holds Inf or NaN gives NaN. REQUIRES: count is a multiple of 32.
  void (*pack_int8)(const float* x, std::int64_t count, std::byte* out) noexcept;
  /// Rows from which on these products are worth their loss; fewer go by matmul_bf16_tile_columns. A decode step has up
  /// to 32 rows: this is 1 or more than 32, so that a row's result does not depend on the others.
  std::int64_t int8_least_rows = 0;
  /// LoFi: as matmul_bf16_tile_columns for activations from pack_int8. The 16 columns of half a tile get
  /// one exponent, the largest of the shared exponents of their 32 rows; a weight is the integer 16 * magnitude / 2^d
  /// under it, d being the distance of its own exponent, rounded to the nearest even, and zero for d >= 7: exact up to
  /// d = 4. Half a tile whose largest exponent is below 7 counts as zero, one beyond 237 gives NaN. The 32 products of
  /// a tile are added as integers, exactly; tiles follow by one fused multiply-add each, k ascending: every ISA gives
  /// the same bits. REQUIRES: weights in BFLOAT4_B; depth = 32 * w.tile_rows.
  void (*matmul_int8_tile_columns)(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                                   const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                                   float* out) noexcept;

  /// One tile of k of a matmul as the card computes it, bit for bit: dst[i * dst_stride + j] += in0[i * in0_stride + k]
  /// * in1[k * 32 + j] for i < rows, j and k < 32, by numerics::matmul_tile. All are fp32 patterns, operands as source
  /// registers hold them.
  void (*matrix_unit_tile)(const MatrixUnitMode& mode, const std::uint32_t* in0, std::int64_t in0_stride,
                           std::int64_t rows, const std::uint32_t* in1, std::uint32_t* dst,
                           std::int64_t dst_stride) noexcept;
  /// dst[i] += a[i] * b[i] for i < count, by numerics::MatrixUnit::multiply in the mode's phases. count is a multiple
  /// of 32.
  void (*matrix_unit_multiply)(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                               std::int64_t count, std::uint32_t* dst) noexcept;
  /// dst[i] = a[i] + (b[i] ^ b_signs), by numerics::MatrixUnit::add. count is a multiple of 32.
  void (*matrix_unit_add)(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                          std::uint32_t b_signs, std::int64_t count, std::uint32_t* dst) noexcept;
  /// out[i] = a[i] * b[i] + c[i] by numerics::sfpu::multiply_add. count is a multiple of 32, here and below.
  void (*vector_unit_multiply_add)(bool wormhole, const std::uint32_t* a, const std::uint32_t* b,
                                   const std::uint32_t* c, std::int64_t count, std::uint32_t* out) noexcept;
  /// values[i] = function(values[i], scalar) by numerics::apply.
  void (*vector_unit_function)(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                               std::uint32_t* values) noexcept;
  /// sums[i] += added[i] as the packer adds in L1 (numerics::l1_accumulate_float32, l1_accumulate_bfloat16): FLOAT32 or
  /// BFLOAT16 values as fp32 patterns.
  void (*l1_accumulate)(DataType dtype, const std::uint32_t* added, std::int64_t count, std::uint32_t* sums) noexcept;

  /// The sum of x^2, in fp32 in several parts (in double precision in the scalar oracle).
  double (*sum_of_squares)(const float* x, std::int64_t count) noexcept;
  /// out = x * scale * gamma. out may be x.
  void (*scale_row)(const float* x, const float* gamma, float scale, std::int64_t count, float* out) noexcept;
  /// The sums of x and x^2 in double precision, where every square is exact.
  Moments (*moments)(const float* x, std::int64_t count) noexcept;
  /// out = (x - mean) * scale * gamma + beta, the last two steps fused; the mean is taken off in two floats, because
  /// rounding it to one would show where it is large beside the deviations. out may be x.
  void (*normalize)(const float* x, double mean, float scale, const float* gamma, const float* beta, std::int64_t count,
                    float* out) noexcept;
  /// Rotates neighbours (x[2i], x[2i+1]) by the angle whose cosine and sine stand at both places of cos and sin:
  /// out[2i] = x[2i] cos - x[2i+1] sin; out[2i+1] = x[2i+1] cos + x[2i] sin. count is even. out may be x.
  void (*rotate_pairs)(const float* x, const float* cos, const float* sin, std::int64_t count, float* out) noexcept;
  /// out = x / (1 + exp(-x)). out may be x.
  void (*silu)(const float* x, std::int64_t count, float* out) noexcept;
  /// out = x / 2 (1 + erf(x / sqrt(2))) within 5 ulp (Hendrycks and Gimpel, "Gaussian Error Linear Units"). out may be
  /// x.
  void (*gelu)(const float* x, std::int64_t count, float* out) noexcept;
  /// Its approximation x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within 2^-22 |x|. out may be x.
  void (*gelu_tanh)(const float* x, std::int64_t count, float* out) noexcept;
  /// out = cap * tanh(x / cap), within 2^-22 cap; out may be x.
  void (*softcap)(const float* x, float cap, std::int64_t count, float* out) noexcept;
  /// out = a + b; out may be a or b.
  void (*add)(const float* a, const float* b, std::int64_t count, float* out) noexcept;
  /// out = a > b ? a : b, which is b where either is NaN; out may be a or b.
  void (*max)(const float* a, const float* b, std::int64_t count, float* out) noexcept;
  /// out = x < 0 ? 0 : x; out may be x.
  void (*relu)(const float* x, std::int64_t count, float* out) noexcept;
  /// out = a * b; out may be a or b.
  void (*mul)(const float* a, const float* b, std::int64_t count, float* out) noexcept;

  /// maxima[i] = the largest of x[64 i] .. x[64 i + 63]; either zero stands for both. NaN counts as nothing, and -Inf
  /// is the maximum of nothing.
  void (*block_maxima)(const float* x, std::int64_t blocks, float* maxima) noexcept;
  /// out[i] = 2^((x[i] - maximum) * scale), in whole multiples of kWeightStep: the same bits from every ISA, within
  /// 2^-18 of the value above 2^-10 and within kWeightStep below. NaN weighs nothing. Returns the sum, exactly. out may
  /// be x. REQUIRES: x[i] <= maximum, which is finite; scale is finite; count <= 2^20.
  double (*softmax_weights)(const float* x, std::int64_t count, float maximum, float scale, float* out) noexcept;

  /// Folds one block of 32 keys into the state. A row whose range is empty is left as it is.
  void (*attention_block)(const AttentionState& state, const AttentionBlock& block) noexcept;
  /// out[i, d] = accumulator[i, d] / sum[i] for all rows; zeros where sum is 0.
  void (*attention_finish)(const AttentionState& state, std::int64_t rows, std::int64_t head_dim, float* out) noexcept;

  /// A panel: the 32 keys of one tile row as attention_bf16 reads them, 32 * width * packed_bytes bytes. The operands
  /// are in a format that widens to bfloat16, any but FLOAT32; padding columns hold zeros. Asks for `ahead` meanwhile.
  void (*attention_pack_keys)(const TileRow& k, const Lines& ahead, std::byte* panel) noexcept;
  /// The same for values; those outside first <= j < last become zeros, whatever they hold.
  void (*attention_pack_values)(const TileRow& v, const Lines& ahead, std::int64_t first, std::int64_t last,
                                std::byte* panel) noexcept;
  /// Folds one block of keys into the sums: products of bfloat16 values in the order of matmul_bf16_tile_columns,
  /// weights rounded to bfloat16, sums in fp32 (FlashAttention, as attention_block). A key outside a row's range has no
  /// part in it, whatever it holds. A row's result does not depend on the other rows.
  void (*attention_bf16)(const AttentionSums& sums, const PackedAttention& block) noexcept;
  /// Adds the sums over other keys: into += from, both brought to the higher reference. `from` stays as it is.
  void (*attention_merge)(const AttentionSums& into, const AttentionSums& from, std::int64_t rows,
                          std::int64_t width) noexcept;
  /// out[i, d] = accumulator[i, d] / sum[i], [rows, width]; zeros where sum is 0. out may be the accumulator.
  void (*attention_divide)(const AttentionSums& sums, std::int64_t rows, std::int64_t width, float* out) noexcept;

  /// Reads `bytes` (a multiple of 256) from 64-byte aligned memory in order; the sum keeps the compiler from leaving it
  /// out. For measuring what the memory gives.
  std::uint64_t (*read_memory)(const std::byte* memory, std::int64_t bytes) noexcept;
  /// The fastest multiply-adds that the matmuls use, on registers alone: returns the floating-point operations done in
  /// `rounds` rounds, a multiply-add counted as two. For measuring what the arithmetic gives.
  std::int64_t (*multiply_add)(std::int64_t rounds) noexcept;
};

/// The table in use: the best that the CPU has, or the one that TESSERA_ISA (scalar, avx2, avx512) names. Chosen at the
/// first call. Throws base::InvalidArgument when TESSERA_ISA names one that is unknown or that the CPU lacks.
const Kernels& kernels();
/// A table by name, for tests; null when this CPU lacks it.
const Kernels* kernels_for(std::string_view isa);

} // namespace tessera::kernels
