#include "tessera/ops/transformer/attention_work.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {
namespace {

using kernels::ConstTiles;
using kernels::kAttentionKeys;
using kernels::kAttentionSumLanes;

// Rows of queries that share one packed block of keys and values. Packing costs as much as some eight rows do; beyond
// 256 rows their accumulators leave too little of the level 2 cache.
constexpr std::int64_t kRowsOfUnit = 256;
// Keys of one part of a decode step's cache. Parts are merged in order, so that it does not matter which thread takes
// which; the merge costs as much as a few keys do.
constexpr std::int64_t kPartKeys = 512;

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Floats of the sums of some rows, and the sums in such memory.
std::int64_t sums_size(std::int64_t rows, std::int64_t width) {
  return round_up(rows * (1 + kAttentionSumLanes + width), 16);
}
kernels::AttentionSums sums_in(float* memory, std::int64_t rows, std::int64_t width) {
  return {
      .reference = memory + rows * (kAttentionSumLanes + width), .sum = memory + rows * width, .accumulator = memory};
}
void clear(const kernels::AttentionSums& sums, std::int64_t rows, std::int64_t width) {
  std::fill_n(sums.reference, rows, kernels::kAttentionLowest);
  std::fill_n(sums.sum, rows * kAttentionSumLanes, 0.0F);
  std::fill_n(sums.accumulator, rows * width, 0.0F);
}

/// Query rows that share keys and values, with all the working memory of one unit; lies in the thread's scratch memory.
class PackedRows {
 public:
  PackedRows(std::int64_t rows, std::int64_t head_dim, float scale)
      : isa_(kernels::kernels()), width_(round_up(head_dim, kTileWidth)), row_bytes_(width_ * isa_.packed_bytes) {
    const auto floats = [](std::int64_t bytes) { return round_up(bytes, 64) / 4; };
    const std::int64_t panels = kAttentionKeys * row_bytes_;
    float* memory = runtime::thread_scratch(floats(rows * row_bytes_) + 2 * floats(panels) + 2 * floats(4 * rows) +
                                            2 * sums_size(rows, width_) + width_);
    const auto take = [&memory](std::int64_t count) { return std::exchange(memory, memory + count); };
    q_ = reinterpret_cast<std::byte*>(take(floats(rows * row_bytes_)));
    keys_ = reinterpret_cast<std::byte*>(take(floats(panels)));
    values_ = reinterpret_cast<std::byte*>(take(floats(panels)));
    first_ = reinterpret_cast<std::int32_t*>(take(floats(4 * rows)));
    last_ = reinterpret_cast<std::int32_t*>(take(floats(4 * rows)));
    sums_ = sums_in(take(sums_size(rows, width_)), rows, width_);
    others_ = sums_in(take(sums_size(rows, width_)), rows, width_);
    row_ = take(width_);
    block_ = {
        .q = q_, .rows = rows, .head_dim = head_dim, .width = width_, .keys = keys_, .values = values_, .scale = scale};
  }

  std::int64_t width() const { return width_; }
  const kernels::AttentionSums& sums() const { return sums_; }
  /// A second set of sums.
  const kernels::AttentionSums& others() const { return others_; }

  void load_query(std::int64_t row, const ConstTiles& tiles, std::int64_t tiles_row) {
    isa_.load_row(tiles, tiles_row, 0, block_.head_dim, row_);
    std::fill(row_ + block_.head_dim, row_ + width_, 0.0F);
    isa_.pack_bf16(row_, width_, q_ + row * row_bytes_);
  }

  /// Begins a block of keys.
  void clear_block() { block_.count = 0; }
  /// Appends a tile row to the block; values outside first <= j < last of it count as zero.
  void append(const ConstTiles& k, const ConstTiles& v, std::int64_t tile_row, std::int64_t first, std::int64_t last) {
    isa_.attention_pack_keys(k, tile_row, keys_ + block_.count * row_bytes_);
    isa_.attention_pack_values(v, tile_row, first, last, values_ + block_.count * row_bytes_);
    block_.count += kTileHeight;
  }
  std::int64_t count() const { return block_.count; }

  /// Folds the block into `sums`; `range(row)` gives the part of it that the row attends to.
  template <typename Range>
  void attend(const kernels::AttentionSums& sums, Range&& range) {
    for (std::int64_t row = 0; row < block_.rows; ++row) {
      const KeyRange keys = range(row);
      first_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(keys.first, 0, block_.count));
      last_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(keys.last, 0, block_.count));
    }
    block_.first = first_;
    block_.last = last_;
    isa_.attention_bf16(sums, block_);
  }
  /// The same where every row attends to all of it.
  void attend(const kernels::AttentionSums& sums) {
    block_.first = nullptr;
    block_.last = nullptr;
    isa_.attention_bf16(sums, block_);
  }

  /// The results, [rows, width].
  const float* finish() {
    isa_.attention_divide(sums_, block_.rows, width_, sums_.accumulator);
    return sums_.accumulator;
  }

 private:
  const kernels::Kernels& isa_;
  std::int64_t width_;
  std::int64_t row_bytes_;
  std::byte* q_;
  std::byte* keys_;
  std::byte* values_;
  std::int32_t* first_;
  std::int32_t* last_;
  kernels::AttentionSums sums_;
  kernels::AttentionSums others_;
  float* row_;
  kernels::PackedAttention block_;
};

/// How a prompt's work is cut: a unit is a band of positions of some query heads that share a KV head.
struct PrefillUnits {
  std::int64_t parts = 1; ///< of a group of query heads
  std::int64_t band = kTileHeight;
  std::int64_t bands = 1;

  explicit PrefillUnits(const PrefillWork& work) {
    parts = divide_up(work.group() * kTileHeight, kRowsOfUnit);
    const std::int64_t heads = divide_up(work.group(), parts);
    // Several units for each thread, so that they end together.
    const auto enough = [&] { return work.kv_heads * parts * divide_up(work.length, band) >= 8 * work.threads; };
    for (band = kRowsOfUnit / (heads * kTileHeight) * kTileHeight; band > kTileHeight && !enough();) {
      band = round_up(band / 2, kTileHeight);
    }
    bands = divide_up(work.length, band);
  }
};

void prefill_unit(const PrefillWork& work, const PrefillUnits& units, const runtime::Unit& unit) {
  // The last bands attend to most keys: they come first, and the short ones fill the gaps at the end.
  const std::int64_t lanes = work.kv_heads * units.parts;
  const std::int64_t band = units.bands - 1 - unit.index / lanes;
  const std::int64_t kv_head = unit.index % lanes / units.parts;
  const std::int64_t part = unit.index % units.parts;
  const std::int64_t first_head = kv_head * work.group() + part * work.group() / units.parts;
  const std::int64_t heads = kv_head * work.group() + (part + 1) * work.group() / units.parts - first_head;
  const std::int64_t begin = band * units.band;
  const std::int64_t end = std::min(begin + units.band, work.length);
  const std::int64_t positions = end - begin;

  PackedRows queries(heads * positions, work.head_dim, work.options.scale);
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t i = 0; i < positions; ++i)
      queries.load_query(head * positions + i, work.q.tiles(unit.chip, first_head + head), begin + i);
  }
  clear(queries.sums(), heads * positions, queries.width());
  const ConstTiles k = work.k.tiles(unit.chip, kv_head);
  const ConstTiles v = work.v.tiles(unit.chip, kv_head);
  const std::int64_t all_attend = attended_keys(end - 1, work.options).first; // to keys from here to `begin`
  std::int64_t start = attended_keys(begin, work.options).first / kAttentionKeys * kAttentionKeys;
  for (; start < end; start += kAttentionKeys) {
    queries.clear_block();
    for (std::int64_t key = start; key < std::min(start + kAttentionKeys, end); key += kTileHeight)
      queries.append(k, v, key / kTileHeight, 0, kTileHeight);
    if (start >= all_attend && start + queries.count() <= begin + 1) {
      queries.attend(queries.sums());
    } else {
      queries.attend(queries.sums(), [&](std::int64_t row) {
        const KeyRange keys = attended_keys(begin + row % positions, work.options);
        return KeyRange{keys.first - start, keys.last - start};
      });
    }
  }
  const kernels::Kernels& isa = kernels::kernels();
  const float* result = queries.finish();
  for (std::int64_t head = 0; head < heads; ++head) {
    const kernels::Tiles output = work.output.tiles(unit.chip, first_head + head);
    for (std::int64_t i = 0; i < positions; ++i)
      isa.store_row(output, begin + i, result + (head * positions + i) * queries.width(), work.head_dim);
    for (std::int64_t i = positions; i < round_up(positions, kTileHeight); ++i)
      isa.store_row(output, begin + i, nullptr, 0);
  }
}

/// Part `part` of a user's cache: its keys kPartKeys * part .. within `keys`, into `sums`.
void attend_to_part(const DecodeWork& work, PackedRows& queries, const kernels::AttentionSums& sums, std::int64_t chip,
                    std::int64_t user, std::int64_t kv_head, const KeyRange& keys, std::int64_t part) {
  clear(sums, work.group(), queries.width());
  const std::int64_t end = std::min((part + 1) * kPartKeys, keys.last);
  const std::int64_t begin = std::max(part * kPartKeys, keys.first / kTileHeight * kTileHeight);
  for (std::int64_t start = begin / kAttentionKeys * kAttentionKeys; start < end; start += kAttentionKeys) {
    queries.clear_block();
    const std::int64_t from = std::max(start, begin);
    for (std::int64_t key = from; key < std::min(start + kAttentionKeys, end); key += kTileHeight) {
      const CachePlace place = cache_place(work, chip, user, kv_head, key / kTileHeight);
      queries.append(work.k.tiles(chip, place.matrix), work.v.tiles(chip, place.matrix), place.tile_row,
                     keys.first - key, keys.last - key);
    }
    if (from >= keys.first && from + queries.count() <= keys.last) {
      queries.attend(sums);
    } else {
      queries.attend(sums, [&](std::int64_t) { return KeyRange{keys.first - from, keys.last - from}; });
    }
  }
}

/// How a decode step's work is cut: each user's keys of one KV head into `splits` runs of parts.
struct DecodeUnits {
  std::int64_t splits = 1;
  std::int64_t slots = 0; ///< of partial sums for each user and KV head, where there are splits
  std::int64_t slot_floats = 0;

  explicit DecodeUnits(const DecodeWork& work) {
    const std::int64_t parts = divide_up(work.capacity(), kPartKeys);
    const std::int64_t wanted = divide_up(8 * work.threads, work.users * work.kv_heads);
    splits = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(parts, 1));
    if (splits > 1) slots = parts;
    slot_floats = sums_size(work.group(), round_up(work.head_dim, kTileWidth));
  }

  /// Where the sums of a part of unit `owner` = user * kv_heads + kv_head lie.
  float* slot(const runtime::Unit& unit, std::int64_t owner, std::int64_t part) const {
    return reinterpret_cast<float*>(unit.scratch) + (owner * slots + part) * slot_floats;
  }
};

/// Parts of a user's cache that hold keys.
KeyRange parts_of(const KeyRange& keys) {
  return {keys.first / kPartKeys, std::max(keys.first / kPartKeys, divide_up(keys.last, kPartKeys))};
}

void decode_unit(const DecodeWork& work, const DecodeUnits& units, const runtime::Unit& unit) {
  const std::int64_t owner = unit.index / units.splits;
  const std::int64_t split = unit.index % units.splits;
  const std::int64_t user = owner / work.kv_heads;
  const std::int64_t kv_head = owner % work.kv_heads;
  const KeyRange keys = decode_keys(work, unit.chip, user);
  const KeyRange parts = parts_of(keys);
  const std::int64_t count = parts.last - parts.first;
  // Where all is one part, or none, the first split does it; the merge has nothing to do.
  const bool whole = units.splits == 1 || count <= 1;
  const std::int64_t first = parts.first + (whole ? 0 : split * count / units.splits);
  const std::int64_t last = parts.first + (whole ? count : (split + 1) * count / units.splits);
  if (whole ? split > 0 : first == last) return;

  PackedRows queries(work.group(), work.head_dim, work.options.scale);
  const std::int64_t width = queries.width();
  for (std::int64_t row = 0; row < work.group(); ++row)
    queries.load_query(row, work.q.tiles(unit.chip, user), kv_head * work.group() + row);
  if (count <= 0) clear(queries.sums(), work.group(), width);
  for (std::int64_t part = first; part < last; ++part) {
    const kernels::AttentionSums sums = !whole          ? sums_in(units.slot(unit, owner, part), work.group(), width)
                                        : part == first ? queries.sums()
                                                        : queries.others();
    attend_to_part(work, queries, sums, unit.chip, user, kv_head, keys, part);
    if (whole && part > first) kernels::kernels().attention_merge(queries.sums(), sums, work.group(), width);
  }
  if (whole) store_decoded(work, unit.chip, user, kv_head, queries.finish(), width);
}

/// Merges the parts that the splits have left.
void merge_unit(const DecodeWork& work, const DecodeUnits& units, const runtime::Unit& unit) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t user = unit.index / work.kv_heads;
  const KeyRange parts = parts_of(decode_keys(work, unit.chip, user));
  if (parts.last - parts.first <= 1) return;
  const std::int64_t width = round_up(work.head_dim, kTileWidth);
  const auto sums_of = [&](std::int64_t part) {
    return sums_in(units.slot(unit, unit.index, part), work.group(), width);
  };
  const kernels::AttentionSums all = sums_of(parts.first);
  for (std::int64_t part = parts.first + 1; part < parts.last; ++part)
    isa.attention_merge(all, sums_of(part), work.group(), width);
  isa.attention_divide(all, work.group(), width, all.accumulator);
  store_decoded(work, unit.chip, user, unit.index % work.kv_heads, all.accumulator, width);
}

} // namespace

AttentionStages prefill_in_bf16(const PrefillWork& work) {
  const PrefillUnits units(work);
  return {.stages = {{work.kv_heads * units.parts * units.bands,
                      [work, units](const runtime::Unit& unit) { prefill_unit(work, units, unit); }}}};
}

AttentionStages decode_in_bf16(const DecodeWork& work) {
  const DecodeUnits units(work);
  const std::int64_t owners = work.users * work.kv_heads;
  AttentionStages result{.stages = {{owners * units.splits,
                                     [work, units](const runtime::Unit& unit) { decode_unit(work, units, unit); }}}};
  if (units.splits > 1) {
    result.stages.push_back({owners, [work, units](const runtime::Unit& unit) { merge_unit(work, units, unit); }});
    result.scratch_bytes = owners * units.slots * units.slot_floats * static_cast<std::int64_t>(sizeof(float));
  }
  return result;
}

} // namespace tessera::ops
