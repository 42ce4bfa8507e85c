// The functions of one instruction set, as kernels.hpp describes them. Included inside that ISA's own namespace, so
// that every ISA has its own symbols; no include guard for that reason.

void load_row(const ConstTiles& tiles, std::int64_t row, std::int64_t first, std::int64_t count, float* out) noexcept;
void store_row(const Tiles& tiles, std::int64_t row, const float* in, std::int64_t count) noexcept;
void load_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, float* out) noexcept;
void load_tile_transposed(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                          float* out) noexcept;
void store_tile(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                const float* in, std::int64_t stride) noexcept;
void store_product(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                   const ProductColumn& product) noexcept;
void clear_rows(const Tiles& tiles, std::int64_t row) noexcept;
void convert_tile_column(const std::byte* const* rows, std::int64_t lanes, std::int64_t depth, const Tiles& tiles,
                         std::int64_t tile_column) noexcept;
void random_bf16(std::uint64_t key, std::int64_t first, std::int64_t count, std::byte* out) noexcept;
void matmul_tile_column(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                        std::int64_t tile_column, float* out) noexcept;
void pack_bf16(const float* x, std::int64_t count, std::byte* out) noexcept;
void pack_bf16_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                    std::int64_t count, std::byte* out, std::int64_t stride) noexcept;
void matmul_bf16_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept;
void pack_int8(const float* x, std::int64_t count, std::byte* out) noexcept;
void matmul_int8_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept;
void matrix_unit_tile(const MatrixUnitMode& mode, const std::uint32_t* in0, std::int64_t in0_stride, std::int64_t rows,
                      const std::uint32_t* in1, std::uint32_t* dst, std::int64_t dst_stride) noexcept;
void matrix_unit_multiply(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                          std::int64_t count, std::uint32_t* dst) noexcept;
void matrix_unit_add(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b, std::uint32_t b_signs,
                     std::int64_t count, std::uint32_t* dst) noexcept;
void vector_unit_multiply_add(bool wormhole, const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                              std::int64_t count, std::uint32_t* out) noexcept;
void vector_unit_function(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                          std::uint32_t* values) noexcept;
void l1_accumulate(DataType dtype, const std::uint32_t* added, std::int64_t count, std::uint32_t* sums) noexcept;
double sum_of_squares(const float* x, std::int64_t count) noexcept;
void scale_row(const float* x, const float* gamma, float scale, std::int64_t count, float* out) noexcept;
Moments moments(const float* x, std::int64_t count) noexcept;
void normalize(const float* x, double mean, float scale, const float* gamma, const float* beta, std::int64_t count,
               float* out) noexcept;
void rotate_pairs(const float* x, const float* cos, const float* sin, std::int64_t count, float* out) noexcept;
void silu(const float* x, std::int64_t count, float* out) noexcept;
void gelu(const float* x, std::int64_t count, float* out) noexcept;
void gelu_tanh(const float* x, std::int64_t count, float* out) noexcept;
void softcap(const float* x, float cap, std::int64_t count, float* out) noexcept;
void add(const float* a, const float* b, std::int64_t count, float* out) noexcept;
void mul(const float* a, const float* b, std::int64_t count, float* out) noexcept;
void max(const float* a, const float* b, std::int64_t count, float* out) noexcept;
void relu(const float* x, std::int64_t count, float* out) noexcept;
void block_maxima(const float* x, std::int64_t blocks, float* maxima) noexcept;
double softmax_weights(const float* x, std::int64_t count, float maximum, float scale, float* out) noexcept;
void attention_block(const AttentionState& state, const AttentionBlock& block) noexcept;
void attention_finish(const AttentionState& state, std::int64_t rows, std::int64_t head_dim, float* out) noexcept;
void attention_pack_keys(const TileRow& k, const Lines& ahead, std::byte* panel) noexcept;
void attention_pack_values(const TileRow& v, const Lines& ahead, std::int64_t first, std::int64_t last,
                           std::byte* panel) noexcept;
void attention_bf16(const AttentionSums& sums, const PackedAttention& block) noexcept;
void attention_merge(const AttentionSums& into, const AttentionSums& from, std::int64_t rows,
                     std::int64_t width) noexcept;
void attention_divide(const AttentionSums& sums, std::int64_t rows, std::int64_t width, float* out) noexcept;
std::uint64_t read_memory(const std::byte* memory, std::int64_t bytes) noexcept;
std::int64_t multiply_add(std::int64_t rounds) noexcept;

constexpr Kernels table(std::string_view isa, std::int64_t packed_bytes, std::int64_t int8_block_bytes, std::int64_t int8_least_rows) {
  return {.isa = isa,
          .load_row = load_row,
          .store_row = store_row,
          .load_tile = load_tile,
          .load_tile_transposed = load_tile_transposed,
          .store_tile = store_tile,
          .store_product = store_product,
          .clear_rows = clear_rows,
          .convert_tile_column = convert_tile_column,
          .random_bf16 = random_bf16,
          .matmul_tile_column = matmul_tile_column,
          .packed_bytes = packed_bytes,
          .pack_bf16 = pack_bf16,
          .pack_bf16_tile = pack_bf16_tile,
          .matmul_bf16_tile_columns = matmul_bf16_tile_columns,
          .int8_block_bytes = int8_block_bytes,
          .pack_int8 = pack_int8,
          .int8_least_rows = int8_least_rows,
          .matmul_int8_tile_columns = matmul_int8_tile_columns,
          .matrix_unit_tile = matrix_unit_tile,
          .matrix_unit_multiply = matrix_unit_multiply,
          .matrix_unit_add = matrix_unit_add,
          .vector_unit_multiply_add = vector_unit_multiply_add,
          .vector_unit_function = vector_unit_function,
          .l1_accumulate = l1_accumulate,
          .sum_of_squares = sum_of_squares,
          .scale_row = scale_row,
          .moments = moments,
          .normalize = normalize,
          .rotate_pairs = rotate_pairs,
          .silu = silu,
          .gelu = gelu,
          .gelu_tanh = gelu_tanh,
          .softcap = softcap,
          .add = add,
          .max = max,
          .relu = relu,
          .mul = mul,
          .block_maxima = block_maxima,
          .softmax_weights = softmax_weights,
          .attention_block = attention_block,
          .attention_finish = attention_finish,
          .attention_pack_keys = attention_pack_keys,
          .attention_pack_values = attention_pack_values,
          .attention_bf16 = attention_bf16,
          .attention_merge = attention_merge,
          .attention_divide = attention_divide,
          .read_memory = read_memory,
          .multiply_add = multiply_add};
}
