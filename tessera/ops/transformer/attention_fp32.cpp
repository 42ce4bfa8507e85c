#include <limits>

#include "tessera/ops/transformer/attention_work.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {
namespace {

using kernels::ConstTiles;

/// Query rows that share keys and values, with all the working memory of one unit; lies in the thread's scratch memory.
class QueryRows {
 public:
  QueryRows(std::int64_t rows, std::int64_t head_dim, const AttentionRule& rule)
      : rows_(rows), head_dim_(head_dim), padded_dim_(round_up(head_dim, kTileWidth)), rule_(rule) {
    const std::int64_t bias = rule.key_bias ? rows * kTileHeight : 0;
    float* memory = runtime::thread_scratch(2 * rows * head_dim + 4 * rows + 2 * kTileHeight * padded_dim_ + bias);
    const auto take = [&memory](std::int64_t count) { return std::exchange(memory, memory + count); };
    q_ = take(rows * head_dim);
    state_ = {.maximum = take(rows), .sum = take(rows), .accumulator = take(rows * head_dim)};
    first_ = reinterpret_cast<std::int32_t*>(take(rows));
    last_ = reinterpret_cast<std::int32_t*>(take(rows));
    k_transposed_ = take(kTileHeight * padded_dim_);
    v_ = take(kTileHeight * padded_dim_);
    bias_ = take(bias);
    std::fill_n(state_.maximum, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(state_.sum, rows, 0.0F);
    std::fill_n(state_.accumulator, rows * head_dim, 0.0F);
  }

  float* q(std::int64_t row) { return q_ + row * head_dim_; }

  /// What the rows add to the next 32 keys; only where the rule has a key_bias.
  void set_bias(std::int64_t row, const float* of_keys) {
    std::copy_n(of_keys, kTileHeight, bias_ + row * kTileHeight);
  }

  /// Folds in the 32 keys and values of one tile row; `range(row)` gives the part of them that the row attends to.
  template <typename Range>
  void attend(const ConstTiles& k, const ConstTiles& v, std::int64_t tile_row, Range&& range) {
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
                                 .scale = rule_.scale,
                                 .softcap = rule_.softcap,
                                 .bias = rule_.key_bias ? bias_ : nullptr});
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
  const AttentionRule& rule_;
  float* q_;
  kernels::AttentionState state_;
  std::int32_t* first_;
  std::int32_t* last_;
  float* k_transposed_;
  float* v_;
  float* bias_;
};

/// A unit is one tile row of positions of all query heads that share a KV head: each block of keys is read once for
/// them.
void prefill_unit(const PrefillWork& work, const runtime::Unit& unit) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t bands = round_up(work.length, kTileHeight) / kTileHeight;
  const std::int64_t kv_head = unit.index / bands;
  const std::int64_t begin = unit.index % bands * kTileHeight;
  const std::int64_t rows = work.group() * kTileHeight;
  QueryRows queries(rows, work.head_dim, work.rule);
  const auto head_of = [&](std::int64_t row) { return kv_head * work.group() + row / kTileHeight; };
  for (std::int64_t row = 0; row < rows; ++row) {
    isa.load_row(work.q.tiles(unit.chip, head_of(row)), begin + row % kTileHeight, 0, work.head_dim, queries.q(row));
  }
  const std::int64_t first_block = work.keys_of(begin).first / kTileHeight;
  const std::int64_t last = work.end_of_keys(std::min(begin + kTileHeight, work.length));
  for (std::int64_t block = first_block; block * kTileHeight < last; ++block) {
    for (std::int64_t row = 0; work.rule.key_bias && row < rows; ++row)
      queries.set_bias(row, work.rule.key_bias.at(unit.chip, head_of(row), block * kTileHeight));
    queries.attend(work.k.tiles(unit.chip, kv_head), work.v.tiles(unit.chip, kv_head), block, [&](std::int64_t row) {
      const std::int64_t position = begin + row % kTileHeight;
      if (position >= work.length) return KeyRange{};
      const KeyRange keys = work.keys_of(position);
      return KeyRange{keys.first - block * kTileHeight, keys.last - block * kTileHeight};
    });
  }
  const float* result = queries.finish();
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t position = begin + row % kTileHeight;
    isa.store_row(work.output.tiles(unit.chip, head_of(row)), position, result + row * work.head_dim,
                  position < work.length ? work.head_dim : 0);
  }
}

void decode_unit(const DecodeWork& work, const runtime::Unit& unit) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t user = unit.index / work.kv_heads;
  const std::int64_t kv_head = unit.index % work.kv_heads;
  const KeyRange keys = decode_keys(work, unit.chip, user);
  QueryRows queries(work.group(), work.head_dim, work.rule);
  for (std::int64_t row = 0; row < work.group(); ++row) {
    isa.load_row(work.q.tiles(unit.chip, user), kv_head * work.group() + row, 0, work.head_dim, queries.q(row));
  }
  for (std::int64_t tile_row = keys.first / kTileHeight; tile_row * kTileHeight < keys.last; ++tile_row) {
    const CachePlace place = cache_place(work, unit.chip, user, kv_head, tile_row);
    for (std::int64_t row = 0; work.rule.key_bias && row < work.group(); ++row)
      queries.set_bias(row, work.rule.key_bias.at(unit.chip, kv_head * work.group() + row, tile_row * kTileHeight));
    queries.attend(work.k.tiles(unit.chip, place.matrix), work.v.tiles(unit.chip, place.matrix), place.tile_row,
                   [&](std::int64_t) {
                     return KeyRange{keys.first - tile_row * kTileHeight, keys.last - tile_row * kTileHeight};
                   });
  }
  store_decoded(work, unit.chip, user, kv_head, queries.finish(), work.head_dim);
}

} // namespace

AttentionStages prefill_in_fp32(const PrefillWork& work) {
  const std::int64_t bands = round_up(work.length, kTileHeight) / kTileHeight;
  return {.stages = {{work.kv_heads * bands, [work](const runtime::Unit& unit) { prefill_unit(work, unit); }}}};
}

AttentionStages decode_in_fp32(const DecodeWork& work) {
  return {.stages = {{work.users * work.kv_heads, [work](const runtime::Unit& unit) { decode_unit(work, unit); }}}};
}

} // namespace tessera::ops
