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

/// 32 keys and values.
struct Panel {
  kernels::TileRow k;
  kernels::TileRow v;
};

/// The memory of a tile row: all of it in a page of one tile row, else its first pair of columns.
kernels::Lines lines_of(const kernels::TileRow& row) {
  const ConstTiles& tiles = row.tiles;
  if (tiles.data == nullptr) return {};
  const std::int64_t bytes = tile_bytes(tiles.dtype);
  const std::int64_t columns =
      tiles.tile_rows == 1 ? tiles.tile_columns : std::min<std::int64_t>(tiles.tile_columns, 2);
  return {tiles.data + tile_position(tiles.tile_rows, tiles.tile_columns, row.row, 0) * bytes,
          divide_up(columns * bytes, 64)};
}
std::pair<kernels::Lines, kernels::Lines> halves(const kernels::TileRow& row) {
  const kernels::Lines lines = lines_of(row);
  const std::int64_t half = lines.count / 2;
  return {{lines.first, half}, {lines.first + half * 64, lines.count - half}};
}

/// Groups of query rows, those of a group sharing keys and values, with all the working memory of one unit; lies in the
/// thread's scratch memory.
class PackedRows {
 public:
  PackedRows(std::int64_t groups, std::int64_t rows, std::int64_t head_dim, const AttentionRule& rule)
      : isa_(kernels::kernels()),
        width_(round_up(head_dim, kTileWidth)),
        row_bytes_(width_ * isa_.packed_bytes),
        sums_floats_(sums_size(rows, width_)) {
    const auto floats = [](std::int64_t bytes) { return round_up(bytes, 64) / 4; };
    const std::int64_t queries = floats(groups * rows * row_bytes_);
    const std::int64_t panels = floats(kAttentionKeys * row_bytes_);
    const std::int64_t ranges = floats(4 * rows);
    const std::int64_t bias = rule.key_bias ? rows * kAttentionKeys : 0;
    float* memory =
        runtime::thread_scratch(queries + 2 * panels + 2 * ranges + 2 * groups * sums_floats_ + width_ + bias);
    const auto take = [&memory](std::int64_t count) { return std::exchange(memory, memory + count); };
    q_ = reinterpret_cast<std::byte*>(take(queries));
    keys_ = reinterpret_cast<std::byte*>(take(panels));
    values_ = reinterpret_cast<std::byte*>(take(panels));
    first_ = reinterpret_cast<std::int32_t*>(take(ranges));
    last_ = reinterpret_cast<std::int32_t*>(take(ranges));
    sums_ = take(groups * sums_floats_);
    others_ = take(groups * sums_floats_);
    row_ = take(width_);
    bias_ = take(bias);
    block_ = {.rows = rows,
              .head_dim = head_dim,
              .width = width_,
              .keys = keys_,
              .values = values_,
              .scale = rule.scale,
              .softcap = rule.softcap,
              .bias = rule.key_bias ? bias_ : nullptr};
  }

  std::int64_t width() const { return width_; }
  kernels::AttentionSums sums(std::int64_t group) const {
    return sums_in(sums_ + group * sums_floats_, block_.rows, width_);
  }
  /// A second set of sums.
  kernels::AttentionSums others(std::int64_t group) const {
    return sums_in(others_ + group * sums_floats_, block_.rows, width_);
  }

  /// `row` counts through all groups.
  void load_query(std::int64_t row, const ConstTiles& tiles, std::int64_t tiles_row) {
    isa_.load_row(tiles, tiles_row, 0, block_.head_dim, row_);
    std::fill(row_ + block_.head_dim, row_ + width_, 0.0F);
    isa_.pack_bf16(row_, width_, q_ + row * row_bytes_);
  }

  /// Begins a block of keys.
  void clear_block() { block_.count = 0; }
  /// Appends a tile row to the block, values outside first <= j < last of which count as zero. A later one is asked
  /// for, half of it now and half while the block is attended to.
  void append(const Panel& panel, const Panel& ahead, std::int64_t first, std::int64_t last) {
    const auto [k_now, k_later] = halves(ahead.k);
    const auto [v_now, v_later] = halves(ahead.v);
    isa_.attention_pack_keys(panel.k, k_now, keys_ + block_.count * row_bytes_);
    isa_.attention_pack_values(panel.v, v_now, first, last, values_ + block_.count * row_bytes_);
    block_.ask_with_keys = k_later;
    block_.ask_with_values = v_later;
    block_.count += kTileHeight;
  }
  std::int64_t count() const { return block_.count; }
  /// What row `row` of the group that attends next adds to the keys of the block; only where the rule has a key_bias.
  void set_bias(std::int64_t row, const float* of_keys) {
    std::copy_n(of_keys, block_.count, bias_ + row * kAttentionKeys);
  }

  /// Folds the block into `sums` for the rows of a group; `range(row)` gives the part of it that a row attends to.
  template <typename Range>
  void attend(std::int64_t group, const kernels::AttentionSums& sums, Range&& range) {
    for (std::int64_t row = 0; row < block_.rows; ++row) {
      const KeyRange keys = range(row);
      first_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(keys.first, 0, block_.count));
      last_[row] = static_cast<std::int32_t>(std::clamp<std::int64_t>(keys.last, 0, block_.count));
    }
    fold(group, sums, first_, last_);
  }
  /// The same where every row attends to all of it.
  void attend(std::int64_t group, const kernels::AttentionSums& sums) { fold(group, sums, nullptr, nullptr); }

  /// The results of a group, [rows, width].
  const float* finish(std::int64_t group) {
    float* accumulator = sums(group).accumulator;
    isa_.attention_divide(sums(group), block_.rows, width_, accumulator);
    return accumulator;
  }

 private:
  void fold(std::int64_t group, const kernels::AttentionSums& sums, const std::int32_t* first,
            const std::int32_t* last) {
    block_.q = q_ + group * block_.rows * row_bytes_;
    block_.first = first;
    block_.last = last;
    isa_.attention_bf16(sums, block_);
  }

  const kernels::Kernels& isa_;
  std::int64_t width_;
  std::int64_t row_bytes_;
  std::int64_t sums_floats_;
  std::byte* q_;
  std::byte* keys_;
  std::byte* values_;
  std::int32_t* first_;
  std::int32_t* last_;
  float* sums_;
  float* others_;
  float* row_;
  float* bias_;
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

  PackedRows queries(1, heads * positions, work.head_dim, work.rule);
  const kernels::AttentionSums sums = queries.sums(0);
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t i = 0; i < positions; ++i)
      queries.load_query(head * positions + i, work.q.tiles(unit.chip, first_head + head), begin + i);
  }
  clear(sums, heads * positions, queries.width());
  const ConstTiles k = work.k.tiles(unit.chip, kv_head);
  const ConstTiles v = work.v.tiles(unit.chip, kv_head);
  const KeyRange all_attend{work.keys_of(end - 1).first, work.keys_of(begin).last};
  const std::int64_t last = work.end_of_keys(end);
  std::int64_t start = work.keys_of(begin).first / kAttentionKeys * kAttentionKeys;
  for (; start < last; start += kAttentionKeys) {
    queries.clear_block();
    for (std::int64_t key = start; key < std::min(start + kAttentionKeys, last); key += kTileHeight)
      queries.append({{k, key / kTileHeight}, {v, key / kTileHeight}}, {}, 0, kTileHeight);
    for (std::int64_t row = 0; work.rule.key_bias && row < heads * positions; ++row)
      queries.set_bias(row, work.rule.key_bias.at(unit.chip, first_head + row / positions, start));
    if (start >= all_attend.first && start + queries.count() <= all_attend.last) {
      queries.attend(0, sums);
    } else {
      queries.attend(0, sums, [&](std::int64_t row) {
        const KeyRange keys = work.keys_of(begin + row % positions);
        return KeyRange{keys.first - start, keys.last - start};
      });
    }
  }
  const kernels::Kernels& isa = kernels::kernels();
  const float* result = queries.finish(0);
  for (std::int64_t head = 0; head < heads; ++head) {
    const kernels::Tiles output = work.output.tiles(unit.chip, first_head + head);
    for (std::int64_t i = 0; i < positions; ++i)
      isa.store_row(output, begin + i, result + (head * positions + i) * queries.width(), work.head_dim);
    for (std::int64_t i = positions; i < round_up(positions, kTileHeight); ++i)
      isa.store_row(output, begin + i, nullptr, 0);
  }
}

/// How a decode step's work is cut. Parts of a user's keys and KV heads are shared out over the user's units: as many
/// runs of parts as there are, then runs of heads. A run of heads is one run of memory in each page.
struct DecodeUnits {
  std::int64_t of_user = 1;
  std::int64_t slots = 0; ///< of partial sums for each user and KV head, where a user has several units
  std::int64_t slot_floats = 0;

  explicit DecodeUnits(const DecodeWork& work) {
    const std::int64_t parts = std::max<std::int64_t>(divide_up(work.capacity(), kPartKeys), 1);
    of_user = std::clamp<std::int64_t>(divide_up(8 * work.threads, work.users), 1, parts * work.kv_heads);
    if (of_user > 1 && parts > 1) slots = parts;
    slot_floats = sums_size(work.group(), round_up(work.head_dim, kTileWidth));
  }

  /// The sums of one part of the keys of `owner` = user * kv_heads + kv_head.
  kernels::AttentionSums slot(const DecodeWork& work, const runtime::Unit& unit, std::int64_t owner,
                              std::int64_t part) const {
    float* memory = reinterpret_cast<float*>(unit.scratch) + (owner * slots + part) * slot_floats;
    return sums_in(memory, work.group(), round_up(work.head_dim, kTileWidth));
  }
};

/// What one user's position makes of that.
struct UserUnits {
  KeyRange keys;
  std::int64_t first_part;
  std::int64_t parts;
  std::int64_t head_runs;
  std::int64_t part_runs; ///< 1: a unit has all parts of its heads, and no merge is needed

  UserUnits(const DecodeWork& work, const DecodeUnits& units, std::int64_t chip, std::int64_t user)
      : keys(decode_keys(work, chip, user)),
        first_part(keys.first / kPartKeys),
        parts(std::max<std::int64_t>(divide_up(keys.last, kPartKeys) - first_part, 0)),
        head_runs(std::clamp<std::int64_t>(units.of_user / std::max<std::int64_t>(parts, 1), 1, work.kv_heads)),
        part_runs(std::clamp<std::int64_t>(units.of_user / head_runs, 1, std::max<std::int64_t>(parts, 1))) {}
};

/// The panels that a unit reads, in order: of each tile row all heads.
class PanelStream {
 public:
  PanelStream(const DecodeWork& work, std::int64_t chip, std::int64_t user, const KeyRange& heads,
              const KeyRange& tile_rows)
      : work_(work),
        chip_(chip),
        user_(user),
        heads_(heads),
        head_(heads.first),
        row_(tile_rows.first),
        end_(tile_rows.last) {}

  /// The next panel; without data at the end.
  Panel next() {
    if (row_ >= end_) return {};
    const CachePlace place = cache_place(work_, chip_, user_, head_, row_);
    if (++head_ == heads_.last) {
      head_ = heads_.first;
      ++row_;
    }
    return {{work_.k.tiles(chip_, place.matrix), place.tile_row}, {work_.v.tiles(chip_, place.matrix), place.tile_row}};
  }

 private:
  const DecodeWork& work_;
  std::int64_t chip_;
  std::int64_t user_;
  KeyRange heads_;
  std::int64_t head_;
  std::int64_t row_;
  std::int64_t end_;
};

/// Asks for a unit's first panel, while the queries are packed.
void ask_for(const kernels::TileRow& row) {
  const kernels::Lines lines = lines_of(row);
  for (std::int64_t i = 0; i < lines.count; ++i) {
    // A volatile statement, since GCC 12 leaves out calls of a function that does nothing but __builtin_prefetch.
    asm volatile("prefetcht0 %0" : : "m"(lines.first[i * 64]));
  }
}

void decode_unit(const DecodeWork& work, const DecodeUnits& units, const runtime::Unit& unit) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t user = unit.index / units.of_user;
  const UserUnits mine(work, units, unit.chip, user);
  const std::int64_t number = unit.index % units.of_user;
  if (number >= mine.head_runs * mine.part_runs) return;
  const std::int64_t head_run = number % mine.head_runs;
  const std::int64_t part_run = number / mine.head_runs;
  const KeyRange heads{head_run * work.kv_heads / mine.head_runs, (head_run + 1) * work.kv_heads / mine.head_runs};
  const KeyRange parts{mine.first_part + part_run * mine.parts / mine.part_runs,
                       mine.first_part + (part_run + 1) * mine.parts / mine.part_runs};
  const KeyRange& keys = mine.keys;
  const std::int64_t group = work.group();

  PanelStream use(work, unit.chip, user, heads,
                  {std::max(parts.first * kPartKeys, keys.first) / kTileHeight,
                   divide_up(std::min(parts.last * kPartKeys, keys.last), kTileHeight)});
  PanelStream ahead = use;
  const Panel first_panel = ahead.next();
  ask_for(first_panel.k);
  ask_for(first_panel.v);
  PackedRows queries(heads.last - heads.first, group, work.head_dim, work.rule);
  for (std::int64_t row = heads.first * group; row < heads.last * group; ++row)
    queries.load_query(row - heads.first * group, work.q.tiles(unit.chip, user), row);

  const auto sums_of = [&](std::int64_t head, std::int64_t part) {
    if (mine.part_runs > 1) return units.slot(work, unit, user * work.kv_heads + head, part);
    return part == parts.first ? queries.sums(head - heads.first) : queries.others(head - heads.first);
  };
  for (std::int64_t part = parts.first; part < std::max(parts.last, parts.first + 1); ++part) {
    for (std::int64_t head = heads.first; head < heads.last; ++head) clear(sums_of(head, part), group, queries.width());
    const std::int64_t end = std::min((part + 1) * kPartKeys, keys.last);
    for (std::int64_t key = std::max(part * kPartKeys, keys.first / kTileHeight * kTileHeight); key < end;
         key += kTileHeight) {
      const KeyRange attended{keys.first - key, keys.last - key};
      for (std::int64_t head = heads.first; head < heads.last; ++head) {
        queries.clear_block();
        queries.append(use.next(), ahead.next(), attended.first, attended.last);
        for (std::int64_t row = 0; work.rule.key_bias && row < group; ++row)
          queries.set_bias(row, work.rule.key_bias.at(unit.chip, head * group + row, key));
        if (attended.first <= 0 && attended.last >= kTileHeight) {
          queries.attend(head - heads.first, sums_of(head, part));
        } else {
          queries.attend(head - heads.first, sums_of(head, part), [&](std::int64_t) { return attended; });
        }
      }
    }
    if (mine.part_runs > 1 || part == parts.first) continue;
    for (std::int64_t head = heads.first; head < heads.last; ++head)
      isa.attention_merge(queries.sums(head - heads.first), sums_of(head, part), group, queries.width());
  }
  if (mine.part_runs > 1) return;
  for (std::int64_t head = heads.first; head < heads.last; ++head)
    store_decoded(work, unit.chip, user, head, queries.finish(head - heads.first), queries.width());
}

/// Merges the parts of one KV head that several units have left.
void merge_unit(const DecodeWork& work, const DecodeUnits& units, const runtime::Unit& unit) {
  const kernels::Kernels& isa = kernels::kernels();
  const std::int64_t user = unit.index / work.kv_heads;
  const UserUnits mine(work, units, unit.chip, user);
  if (mine.part_runs == 1) return;
  const std::int64_t width = round_up(work.head_dim, kTileWidth);
  const kernels::AttentionSums all = units.slot(work, unit, unit.index, mine.first_part);
  for (std::int64_t part = mine.first_part + 1; part < mine.first_part + mine.parts; ++part)
    isa.attention_merge(all, units.slot(work, unit, unit.index, part), work.group(), width);
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
  AttentionStages result{.stages = {{work.users * units.of_user,
                                     [work, units](const runtime::Unit& unit) { decode_unit(work, units, unit); }}}};
  if (units.slots > 0) {
    const std::int64_t owners = work.users * work.kv_heads;
    result.stages.push_back({owners, [work, units](const runtime::Unit& unit) { merge_unit(work, units, unit); }});
    result.scratch_bytes = owners * units.slots * units.slot_floats * static_cast<std::int64_t>(sizeof(float));
  }
  return result;
}

} // namespace tessera::ops
