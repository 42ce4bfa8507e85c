#include "tessera/ops/transformer/attention.hpp"

#include <algorithm>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {
namespace {

using kernels::ConstTiles;

/// Query rows that share keys and values, with all the working memory of one unit; lies in the thread's scratch memory.
class QueryRows {
 public:
  QueryRows(std::int64_t rows, std::int64_t head_dim)
      : rows_(rows), head_dim_(head_dim), padded_dim_(round_up(head_dim, kTileWidth)) {
    float* memory = runtime::thread_scratch(2 * rows * head_dim + 4 * rows + 2 * kTileHeight * padded_dim_);
    const auto take = [&memory](std::int64_t count) { return std::exchange(memory, memory + count); };
    q_ = take(rows * head_dim);
    state_ = {.maximum = take(rows), .sum = take(rows), .accumulator = take(rows * head_dim)};
    first_ = reinterpret_cast<std::int32_t*>(take(rows));
    last_ = reinterpret_cast<std::int32_t*>(take(rows));
    k_transposed_ = take(kTileHeight * padded_dim_);
    v_ = take(kTileHeight * padded_dim_);
    std::fill_n(state_.maximum, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(state_.sum, rows, 0.0F);
    std::fill_n(state_.accumulator, rows * head_dim, 0.0F);
  }

  float* q(std::int64_t row) { return q_ + row * head_dim_; }

  /// Folds in the 32 keys and values of one tile row; `range(row)` gives the part of them that the row attends to.
  template <typename Range>
  void attend(const ConstTiles& k, const ConstTiles& v, std::int64_t tile_row, float scale, Range&& range) {
    const kernels::Kernels& isa = kernels::kernels();
    for (std::int64_t row = 0; row < rows_; ++row) {
      const auto [first, last] = range(row);
      first_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(first, 0, kTileHeight));
      last_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(last, 0, kTileHeight));
    }
    for (std::int64_t column = 0; column < padded_dim_ / kTileWidth; ++column) {
      isa.load_tile_transposed(k, tile_row, column, k_transposed_ + column * kTileElements);
    }
    for (std::int64_t key = 0; key < kTileHeight; ++key)
      isa.load_row(v, tile_row * kTileHeight + key, 0, head_dim_, v_ + key * head_dim_);
    isa.attention_block(state_, {.q = q_,
                                 .rows = rows_,
                                 .head_dim = head_dim_,
                                 .k_transposed = k_transposed_,
                                 .v = v_,
                                 .first = first_,
                                 .last = last_,
                                 .scale = scale});
  }

  /// softmax-weighted sums [rows, head_dim]; overwrites the queries.
  const float* finish() {
    kernels::kernels().attention_finish(state_, rows_, head_dim_, q_);
    return q_;
  }

 private:
  std::int64_t rows_;
  std::int64_t head_dim_;
  std::int64_t padded_dim_;
  float* q_;
  kernels::AttentionState state_;
  std::int32_t* first_;
  std::int32_t* last_;
  float* k_transposed_;
  float* v_;
};

struct Range {
  std::int64_t first;
  std::int64_t last;
};

/// Keys [first, last) that position `position` attends to.
Range window(std::int64_t position, std::int64_t sliding_window_size) {
  return {sliding_window_size > 0 ? std::max<std::int64_t>(0, position - sliding_window_size + 1) : 0, position + 1};
}

/// Number of (query, key) pairs of a causal, perhaps windowed prompt.
std::int64_t causal_pairs(std::int64_t length, std::int64_t window_size) {
  if (window_size <= 0 || window_size >= length) return length * (length + 1) / 2;
  return window_size * (window_size + 1) / 2 + (length - window_size) * window_size;
}

void check_heads(std::string_view op, std::int64_t heads, std::int64_t kv_heads, const AttentionOptions& options) {
  base::require(kv_heads > 0 && heads % kv_heads == 0,
                "[{}] the query heads must be a multiple of the KV heads; received {} and {}", op, heads, kv_heads);
  base::require(options.sliding_window_size >= 0, "[{}] sliding_window_size must be 0 (none) or more; received {}", op,
                options.sliding_window_size);
}

Attributes attributes_of(const AttentionOptions& options) {
  return {{"is_causal", true}, {"scale", double{options.scale}}, {"sliding_window_size", options.sliding_window_size}};
}

} // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options) {
  constexpr std::string_view kName = "scaled_dot_product_attention";
  require_tile(kName, "q", q);
  require_tile(kName, "k", k);
  require_tile(kName, "v", v);
  require_same_device(kName, {{"q", q}, {"k", k}, {"v", v}});
  base::require(q.shape().rank() == 4 && q.shape()[0] == 1 && k.shape().rank() == 4,
                "[{}] q [1, Hq, S, D] and k [1, Hkv, S, D] are required; received {} and {}", kName, q.shape(),
                k.shape());
  const std::int64_t heads = q.shape()[1];
  const std::int64_t kv_heads = k.shape()[1];
  const std::int64_t length = q.shape()[2];
  const std::int64_t head_dim = q.shape()[3];
  check_heads(kName, heads, kv_heads, options);
  require_shape(kName, "k", k, {1, kv_heads, length, head_dim});
  require_shape(kName, "v", v, k.shape());
  runtime::MeshDevice& device = q.device();
  Tensor output = Tensor::allocate(device, q.spec(), kName);

  // A unit is one tile row of positions of all query heads that share a KV head: each block of keys is read once for
  // them.
  const std::int64_t group = heads / kv_heads;
  const std::int64_t bands = q.spec().tile_rows();
  const auto body = [q = q.view(), k = k.view(), v = v.view(), out = output.view(), group, bands, head_dim, length,
                     options](const runtime::Unit& unit) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t kv_head = unit.index / bands;
    const std::int64_t begin = unit.index % bands * kTileHeight;
    QueryRows queries(group * kTileHeight, head_dim);
    for (std::int64_t row = 0; row < group * kTileHeight; ++row) {
      isa.load_row(q.tiles(unit.chip, kv_head * group + row / kTileHeight), begin + row % kTileHeight, 0, head_dim,
                   queries.q(row));
    }
    const std::int64_t first_block = window(begin, options.sliding_window_size).first / kTileHeight;
    for (std::int64_t block = first_block; block * kTileHeight < std::min(begin + kTileHeight, length); ++block) {
      queries.attend(k.tiles(unit.chip, kv_head), v.tiles(unit.chip, kv_head), block, options.scale,
                     [&](std::int64_t row) {
                       const std::int64_t position = begin + row % kTileHeight;
                       if (position >= length) return Range{0, 0};
                       const Range keys = window(position, options.sliding_window_size);
                       return Range{keys.first - block * kTileHeight, keys.last - block * kTileHeight};
                     });
    }
    const float* result = queries.finish();
    for (std::int64_t row = 0; row < group * kTileHeight; ++row) {
      const std::int64_t position = begin + row % kTileHeight;
      isa.store_row(out.tiles(unit.chip, kv_head * group + row / kTileHeight), position, result + row * head_dim,
                    position < length ? head_dim : 0);
    }
  };
  device.queue().enqueue({.name = kName, .stages = {{kv_heads * bands, body}}, .scope = device.scope()}, [&] {
    return describe({{"input_tensor_q", q}, {"input_tensor_k", k}, {"input_tensor_v", v}}, {{"output", output}},
                    attributes_of(options),
                    {.matmul_flops = 4 * heads * head_dim * causal_pairs(length, options.sliding_window_size)});
  });
  return output;
}

Tensor paged_scaled_dot_product_attention_decode(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache,
                                                 const Tensor& cur_pos, const Tensor& page_table,
                                                 const AttentionOptions& options) {
  constexpr std::string_view kName = "paged_scaled_dot_product_attention_decode";
  require_tile(kName, "q", q);
  require_tile(kName, "k_cache", k_cache);
  require_tile(kName, "v_cache", v_cache);
  require_same_device(
      kName, {{"q", q}, {"k_cache", k_cache}, {"v_cache", v_cache}, {"cur_pos", cur_pos}, {"page_table", page_table}});
  base::require(q.shape().rank() == 4 && q.shape()[0] == 1 && k_cache.shape().rank() == 4,
                "[{}] q [1, B, Hq, D] and k_cache [blocks, Hkv, block_size, D] are required; received {} and {}", kName,
                q.shape(), k_cache.shape());
  const std::int64_t users = q.shape()[1];
  const std::int64_t heads = q.shape()[2];
  const std::int64_t head_dim = q.shape()[3];
  const std::int64_t kv_heads = k_cache.shape()[1];
  const std::int64_t blocks = k_cache.shape()[0];
  const std::int64_t block_size = k_cache.shape()[2];
  check_heads(kName, heads, kv_heads, options);
  require_shape(kName, "k_cache", k_cache, {k_cache.shape()[0], kv_heads, block_size, head_dim});
  require_shape(kName, "v_cache", v_cache, k_cache.shape());
  require_integers(kName, "cur_pos", cur_pos, {users});
  base::require(page_table.defined() && page_table.dtype() == DataType::INT32 &&
                    page_table.layout() == Layout::ROW_MAJOR && page_table.shape().rank() == 2 &&
                    page_table.shape()[0] >= users && block_size % kTileHeight == 0,
                "[{}] page_table must be INT32 in ROW_MAJOR with a row for each of {} users, and blocks whole tiles; "
                "received {} and blocks of {}",
                kName, users, to_string(page_table.spec()), block_size);
  runtime::MeshDevice& device = q.device();
  Tensor output = Tensor::allocate(device, q.spec(), kName);

  const std::int64_t group = heads / kv_heads;
  const std::int64_t table_width = page_table.shape()[1];
  const auto body = [q = q.view(), k = k_cache.view(), v = v_cache.view(), out = output.view(),
                     positions = cur_pos.view(), table = page_table.view(), group, heads, kv_heads, head_dim, blocks,
                     block_size, table_width, options](const runtime::Unit& unit) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t user = unit.index / kv_heads;
    const std::int64_t kv_head = unit.index % kv_heads;
    const std::int64_t position = positions.elements<std::int32_t>(unit.chip)[user];
    const std::int32_t* pages = table.elements<std::int32_t>(unit.chip) + user * table_width;
    base::require(position < table_width * block_size, "positions must be below {}; received {}",
                  table_width * block_size, position);
    QueryRows queries(group, head_dim);
    for (std::int64_t row = 0; row < group; ++row)
      isa.load_row(q.tiles(unit.chip, user), kv_head * group + row, 0, head_dim, queries.q(row));
    const Range keys = window(position, options.sliding_window_size);
    for (std::int64_t tile_row = keys.first / kTileHeight; tile_row * kTileHeight < keys.last; ++tile_row) {
      const std::int64_t block = pages[tile_row * kTileHeight / block_size];
      base::require(0 <= block && block < blocks, "page table entries up to the position must be in 0..{}; received {}",
                    blocks - 1, block);
      const std::int64_t matrix = block * kv_heads + kv_head;
      queries.attend(k.tiles(unit.chip, matrix), v.tiles(unit.chip, matrix), tile_row % (block_size / kTileHeight),
                     options.scale, [&](std::int64_t) {
                       return Range{keys.first - tile_row * kTileHeight, keys.last - tile_row * kTileHeight};
                     });
    }
    const float* result = queries.finish();
    for (std::int64_t row = 0; row < group; ++row)
      isa.store_row(out.tiles(unit.chip, user), kv_head * group + row, result + row * head_dim, head_dim);
    if (kv_head == kv_heads - 1) {
      for (std::int64_t row = heads; row < round_up(heads, kTileHeight); ++row)
        isa.store_row(out.tiles(unit.chip, user), row, nullptr, 0);
    }
  };
  device.queue().enqueue({.name = kName, .stages = {{users * kv_heads, body}}, .scope = device.scope()}, [&] {
    // The cache is counted as read in whole: how far it is filled stands in cur_pos, which only the device knows.
    const std::int64_t capacity = table_width * block_size;
    return describe({{"input_tensor_q", q},
                     {"input_tensor_k", k_cache},
                     {"input_tensor_v", v_cache},
                     {"cur_pos_tensor", cur_pos},
                     {"page_table_tensor", page_table}},
                    {{"output", output}}, attributes_of(options),
                    {.matmul_flops = 4 * users * heads * head_dim * capacity});
  });
  return output;
}

} // namespace tessera::ops
