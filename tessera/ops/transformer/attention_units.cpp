#include "tessera/ops/transformer/attention_units.hpp"

#include <algorithm>
#include <limits>

#include "tessera/ops/exact/rows.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

std::int64_t group_rows(std::int64_t group) {
  return group * kTileHeight;
}

/// A row's part of a mask tile whose first key is `first`: zero, or the head's bias, where it attends.
void fill_mask(const KeyRange& keys, std::int64_t first, const float* bias, float* out) {
  for (std::int64_t i = 0; i < kTileWidth; ++i) {
    const bool attended = keys.first <= first + i && first + i < keys.last;
    out[i] = attended ? (bias == nullptr ? 0.0F : bias[i]) : kLowest;
  }
}

/// The first chunk that holds a key, in tiles, and how many follow up to the last key.
struct Chunks {
  std::int64_t first_tile;
  std::int64_t count;

  Chunks(const KeyRange& keys, std::int64_t chunk)
      : first_tile(keys.first / kTileHeight / chunk * chunk),
        count(keys.last <= keys.first ? 0 : div_up(div_up(keys.last, kTileHeight) - first_tile, chunk)) {}
};

} // namespace

std::int64_t prefill_chunk(std::int64_t length) {
  return length >= 2048 ? 8 : 2;
}

Decomposition attention_units(const AttentionRule& rule, std::int64_t columns, std::int64_t chunk,
                              const AttentionFormats& formats) {
  KernelBuilder k(rule.compute);
  const bool wide = formats.q == DataType::FLOAT32;
  const DataType between = wide ? DataType::FLOAT32 : DataType::BFLOAT16;
  const TilesAt q = k.input("q", formats.q);
  const TilesAt keys = k.input_tile("k_transposed", formats.k);
  const TilesAt values = k.input_tile("v", formats.v);
  const TilesAt mask = k.input("mask", between);
  const TilesAt one = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt lowest = k.input("lowest", DataType::BFLOAT16);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt scores = k.intermediate("scores", between, chunk);
  const TilesAt maximum = k.intermediate("maximum", between, 1);
  const TilesAt new_maximum = k.intermediate("new_maximum", between, 1);
  const TilesAt sum = k.intermediate("sum", between, 1);
  const TilesAt chunk_sum = k.intermediate("chunk_sum", between, 1);
  const TilesAt correction = k.intermediate("correction", between, 1);
  const TilesAt accumulator = k.intermediate("accumulator", between, columns);
  const TilesAt chunk_output = k.intermediate("chunk_output", between, 1);
  // The scale goes into the exponential, unless something is done to the scaled scores.
  const bool scale_first = rule.softcap > 0.0F || rule.key_bias;
  const float exponent_scale = scale_first ? 1.0F : rule.scale;
  const auto exponential = [&](const TileReference& x, const TileReference& to, Broadcast broadcast) {
    k.acquire();
    k.sub(x, new_maximum[0], broadcast);
    k.function(TileFunction::EXP, exponent_scale);
    k.pack(to);
  };
  const auto rescale = [&](const TileReference& state, const TileReference& added, Broadcast broadcast) {
    k.acquire();
    k.mul(state, correction[0], broadcast);
    k.pack(state);
    k.acquire();
    k.add(state, added);
    k.pack(state);
  };

  k.acquire();
  k.copy(lowest[0]);
  k.pack(maximum[0]);
  k.acquire(); // zeros
  k.pack(sum[0]);
  k.loop(columns, [&](const TileNumber& d) { k.pack(accumulator[d]); });
  k.loop(CountOfWork{0}, [&](const TileNumber& c) {
    k.loop(chunk, [&](const TileNumber& j) {
      const TileNumber tile = c * chunk + j;
      k.acquire();
      k.loop(columns, [&](const TileNumber& d) { k.matmul(q[d], keys[tile * columns + d]); });
      if (rule.softcap > 0.0F) {
        k.function(TileFunction::MUL_SCALAR, rule.scale / rule.softcap);
        k.function(TileFunction::TANH);
        k.function(TileFunction::MUL_SCALAR, rule.softcap);
      } else if (scale_first) {
        k.function(TileFunction::MUL_SCALAR, rule.scale);
      }
      k.pack(scores[j]);
      k.acquire();
      k.add(scores[j], mask[tile]);
      k.pack(scores[j]);
    });
    k.acquire();
    k.loop(chunk, [&](const TileNumber& j) { k.reduce_max(scores[j]); });
    k.pack(new_maximum[0]);
    k.acquire();
    k.copy_to_dest(maximum[0], 0);
    k.copy_to_dest(new_maximum[0], 1);
    k.binary_function(TileFunction::MAX);
    k.pack(new_maximum[0]);
    k.loop(chunk, [&](const TileNumber& j) { exponential(scores[j], scores[j], Broadcast::COLUMN); });
    k.acquire();
    k.loop(chunk, [&](const TileNumber& j) { k.reduce_sum(scores[j], one[0]); });
    k.pack(chunk_sum[0]);
    exponential(maximum[0], correction[0], Broadcast::NONE);
    rescale(sum[0], chunk_sum[0], Broadcast::NONE);
    k.loop(columns, [&](const TileNumber& d) {
      k.acquire();
      k.loop(chunk, [&](const TileNumber& j) { k.matmul(scores[j], values[(c * chunk + j) * columns + d]); });
      k.pack(chunk_output[0]);
      rescale(accumulator[d], chunk_output[0], Broadcast::COLUMN);
    });
    k.acquire();
    k.copy_to_dest(new_maximum[0]);
    k.pack(maximum[0]);
  });
  k.acquire();
  k.copy_to_dest(sum[0]);
  k.function(TileFunction::RECIPROCAL);
  k.pack(sum[0]);
  k.loop(columns, [&](const TileNumber& d) {
    k.acquire();
    k.mul(accumulator[d], sum[0], Broadcast::COLUMN);
    k.pack(out[d]);
  });
  return k.finish();
}

AttentionStages prefill_exactly(const PrefillWork& work, const AttentionFormats& formats, const ArchSpec& arch) {
  const std::int64_t bands = div_up(work.length, kTileHeight);
  const std::int64_t columns = div_up(work.head_dim, kTileWidth);
  const std::int64_t chunk = prefill_chunk(work.length);
  // A unit: one tile row of positions of all query heads that share a KV head, which is unit.index / bands.
  const auto chunks_of = [=](const ExactWork& unit) {
    const std::int64_t end = work.end_of_keys(std::min(unit.row + kTileHeight, work.length));
    return Chunks({work.keys_of(unit.row).first, end}, chunk);
  };
  const auto head_of = [=](const ExactWork& unit, std::int64_t i) {
    return unit.matrix * work.group() + i / kTileHeight;
  };
  const auto read_q = [=](const ExactWork& unit, std::int64_t tile, float* out) {
    for (std::int64_t i = 0; i < unit.rows; i += kTileHeight)
      kernels::kernels().load_tile(work.q.tiles(unit.chip, head_of(unit, i)), unit.row / kTileHeight, tile,
                                   out + i * kTileWidth);
  };
  const auto read_keys = [=](bool transposed, const DeviceView& view) {
    return [=](const ExactWork& unit, std::int64_t tile, float* out) {
      const std::int64_t row = chunks_of(unit).first_tile + tile / columns;
      if (row >= bands) return std::fill_n(out, kTileElements, 0.0F), void();
      const kernels::Tiles tiles = view.tiles(unit.chip, unit.matrix);
      const kernels::Kernels& isa = kernels::kernels();
      (transposed ? isa.load_tile_transposed : isa.load_tile)(tiles, row, tile % columns, out);
    };
  };
  const auto read_mask = [=](const ExactWork& unit, std::int64_t tile, float* out) {
    const std::int64_t first = (chunks_of(unit).first_tile + tile) * kTileHeight;
    for (std::int64_t i = 0; i < unit.rows; ++i) {
      const std::int64_t position = std::min(unit.row + i % kTileHeight, work.length - 1);
      KeyRange keys = work.keys_of(position);
      keys.last = std::min(keys.last, work.length);
      const float* bias = work.rule.key_bias && first < round_up(work.length, kTileHeight)
                              ? work.rule.key_bias.at(unit.chip, head_of(unit, i), first)
                              : nullptr;
      fill_mask(keys, first, bias, out + i * kTileWidth);
    }
  };
  const auto write = [=](const ExactWork& unit, std::int64_t tile, const float* rows) {
    const std::int64_t height = std::min(kTileHeight, work.length - unit.row);
    for (std::int64_t i = 0; i < unit.rows; i += kTileHeight)
      kernels::kernels().store_tile(work.output.tiles(unit.chip, head_of(unit, i)), unit.row / kTileHeight, tile,
                                    height, rows + i * kTileWidth, kTileWidth);
  };
  const auto place = [=](ExactWork& unit) {
    unit.matrix = unit.index / bands;
    unit.row = unit.index % bands * kTileHeight;
    unit.rows = group_rows(work.group());
    unit.counts[0] = chunks_of(unit).count;
  };
  TileIo io{{read_q, read_keys(true, work.k), read_keys(false, work.v), read_mask, read_constant(1.0F),
             read_constant(kLowest)},
            write};
  return {.stages = {exact_stage(shared(attention_units(work.rule, columns, chunk, formats)), arch,
                                 work.kv_heads * bands, place, std::move(io))}};
}

AttentionStages decode_exactly(const DecodeWork& work, const AttentionFormats& formats, const ArchSpec& arch) {
  const std::int64_t columns = div_up(work.head_dim, kTileWidth);
  // A unit: the query heads of a user that share a KV head; unit.row is the user, unit.column the KV head.
  const auto chunks_of = [=](const ExactWork& unit) {
    return Chunks(decode_keys(work, unit.chip, unit.row), kDecodeChunk);
  };
  const auto read_q = [=](const ExactWork& unit, std::int64_t tile, float* out) {
    for (std::int64_t i = 0; i < unit.rows; ++i)
      kernels::kernels().load_row(work.q.tiles(unit.chip, unit.row), unit.column * work.group() + i, tile * kTileWidth,
                                  kTileWidth, out + i * kTileWidth);
  };
  const auto read_keys = [=](bool transposed, const DeviceView& view) {
    return [=](const ExactWork& unit, std::int64_t tile, float* out) {
      const std::int64_t row = chunks_of(unit).first_tile + tile / columns;
      if (row * kTileHeight >= decode_keys(work, unit.chip, unit.row).last)
        return std::fill_n(out, kTileElements, 0.0F), void();
      const CachePlace at = cache_place(work, unit.chip, unit.row, unit.column, row);
      const kernels::Tiles tiles = view.tiles(unit.chip, at.matrix);
      const kernels::Kernels& isa = kernels::kernels();
      (transposed ? isa.load_tile_transposed : isa.load_tile)(tiles, at.tile_row, tile % columns, out);
    };
  };
  const auto read_mask = [=](const ExactWork& unit, std::int64_t tile, float* out) {
    const std::int64_t first = (chunks_of(unit).first_tile + tile) * kTileHeight;
    const KeyRange keys = decode_keys(work, unit.chip, unit.row);
    for (std::int64_t i = 0; i < unit.rows; ++i) {
      const float* bias = work.rule.key_bias && first < keys.last
                              ? work.rule.key_bias.at(unit.chip, unit.column * work.group() + i, first)
                              : nullptr;
      fill_mask(keys, first, bias, out + i * kTileWidth);
    }
  };
  // The rows of a user lie in one matrix, those of several KV heads in one tile: through scratch memory.
  const std::int64_t width = columns * kTileWidth;
  const auto write = [=](const ExactWork& unit, std::int64_t tile, const float* rows) {
    auto* const out =
        reinterpret_cast<float*>(unit.scratch) + (unit.row * work.heads + unit.column * work.group()) * width;
    for (std::int64_t i = 0; i < unit.rows; ++i)
      std::copy_n(rows + i * kTileWidth, kTileWidth, out + i * width + tile * kTileWidth);
  };
  const auto place = [=](ExactWork& unit) {
    unit.row = unit.index / work.kv_heads;
    unit.column = unit.index % work.kv_heads;
    unit.rows = work.group();
    unit.counts[0] = chunks_of(unit).count;
  };
  const auto store = [=](const runtime::Unit& unit) {
    for (std::int64_t kv_head = 0; kv_head < work.kv_heads; ++kv_head)
      store_decoded(
          work, unit.chip, unit.index, kv_head,
          reinterpret_cast<const float*>(unit.scratch) + (unit.index * work.heads + kv_head * work.group()) * width,
          width);
  };
  TileIo io{{read_q, read_keys(true, work.k), read_keys(false, work.v), read_mask, read_constant(1.0F),
             read_constant(kLowest)},
            write};
  return {.stages = {exact_stage(shared(attention_units(work.rule, columns, kDecodeChunk, formats)), arch,
                                 work.users * work.kv_heads, place, std::move(io)),
                     {work.users, store}},
          .scratch_bytes = work.users * work.heads * width * std::int64_t{sizeof(float)}};
}

} // namespace tessera::ops
