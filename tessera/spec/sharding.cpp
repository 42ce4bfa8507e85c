#include "tessera/spec/sharding.hpp"

#include <algorithm>
#include <cstdlib>

#include "tessera/base/error.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera {
namespace {

// What tt_transformers aims at for the activations of decode.
constexpr std::int64_t kCoresOfWidth = 32;

/// The largest number up to `most` that divides `tiles`.
std::int64_t largest_divisor(std::int64_t tiles, std::int64_t most) {
  std::int64_t divisor = std::min(tiles, most);
  while (tiles % divisor != 0) --divisor;
  return divisor;
}

/// A shard's extent when `extent` is cut `ways` times.
std::int64_t cut(std::int64_t extent, std::int64_t ways, std::int64_t unit) {
  return round_up(div_up(extent, ways), unit);
}

void require_elements(const TensorSpec& spec, TensorMemoryLayout layout) {
  base::require(spec.shape.rank() >= 1 && spec.shape.volume() > 0,
                "[tensor] {} needs a shape of rank 1 or more without empty extents; received {}; leave an empty tensor "
                "out",
                to_string(layout), spec.shape);
}

void validate_strips(const TensorSpec& spec, std::string_view across, std::int64_t extent, std::int64_t shard,
                     std::string_view along, std::int64_t cut_extent, std::int64_t shards) {
  const MemoryConfig& place = spec.memory_config;
  base::require(shard == extent,
                "[tensor] {} needs a shard {} equal to the tensor's as stored, {}; received {} for {}; set it to {}",
                to_string(place.memory_layout), across, extent, shard, spec, extent);
  const std::int64_t cores = place.shard_spec->cores();
  base::require(shards <= cores,
                "[tensor] {} needs at least as many cores as shards; received a {} of {} as stored, {} shards on {} "
                "cores, for {}; take a larger grid, or a shard {} of {} or more",
                to_string(place.memory_layout), along, cut_extent, shards, cores, spec, along,
                cut(cut_extent, cores, spec.layout == Layout::TILE ? kTileHeight : 1));
}

/// On the card a shard may be larger than its tensor. Where it is larger than any core's memory too, its bytes are no
/// matter of what else is allocated, and may be more than can be counted.
void require_room(const TensorSpec& spec, std::string_view bank, std::int64_t bank_bytes) {
  const ShardSpec& shard = *spec.memory_config.shard_spec;
  const std::int64_t height = spec.physical_height();
  const std::int64_t width = spec.physical_width();
  const bool within_tensor = shard.shard_height <= height && shard.shard_width <= width;
  const std::int64_t most = bank_bytes * 8 / element_bits(spec.dtype);
  base::require(within_tensor || shard.shard_height <= most / shard.shard_width,
                "[tensor] a shard that is larger than its tensor must fit the {} bytes of {}; received {}x{} for {}; "
                "{}x{} hold all of the tensor",
                bank_bytes, bank, shard.shard_height, shard.shard_width, spec, height, width);
}

} // namespace

ShardCount shard_count(const TensorSpec& spec) {
  const ShardSpec& shard = *spec.memory_config.shard_spec;
  return {div_up(spec.physical_height(), shard.shard_height), div_up(spec.physical_width(), shard.shard_width)};
}

void validate_shards(const TensorSpec& spec) {
  const MemoryConfig& place = spec.memory_config;
  const ShardSpec& shard = *place.shard_spec;
  base::require(shard.grid_rows >= 1 && shard.grid_columns >= 1 && shard.shard_height >= 1 && shard.shard_width >= 1,
                "[tensor] a grid of one core or more and a shard of one element or more are required; received {}",
                place);
  base::require(
      spec.layout == Layout::ROW_MAJOR ||
          (shard.shard_height % kTileHeight == 0 && shard.shard_width % kTileWidth == 0),
      "[tensor] a shard in TILE layout needs whole tiles, multiples of {}x{}; received {}x{} for {}; round it up to "
      "{}x{}",
      kTileHeight, kTileWidth, shard.shard_height, shard.shard_width, spec, round_up(shard.shard_height, kTileHeight),
      round_up(shard.shard_width, kTileWidth));
  const ShardCount count = shard_count(spec);
  const std::int64_t height = spec.physical_height();
  const std::int64_t width = spec.physical_width();
  if (place.memory_layout == TensorMemoryLayout::HEIGHT_SHARDED)
    return validate_strips(spec, "width", width, shard.shard_width, "height", height, count.down);
  if (place.memory_layout == TensorMemoryLayout::WIDTH_SHARDED)
    return validate_strips(spec, "height", height, shard.shard_height, "width", width, count.across);
  const bool by_rows = shard.orientation == ShardOrientation::ROW_MAJOR;
  const std::int64_t down = by_rows ? shard.grid_rows : shard.grid_columns;
  const std::int64_t across = by_rows ? shard.grid_columns : shard.grid_rows;
  base::require(count.down <= down && count.across <= across,
                "[tensor] BLOCK_SHARDED with {} orientation needs at most {} shards down and {} across on this grid; "
                "received {}x{} shards for {}; take a larger grid or larger shards",
                by_rows ? "ROW_MAJOR" : "COL_MAJOR", down, across, count.down, count.across, spec);
}

void validate(const TensorSpec& spec, const ArchSpec& arch) {
  validate(spec);
  const MemoryConfig& place = spec.memory_config;
  if (!place.is_sharded()) return;
  const ShardSpec& shard = *place.shard_spec;
  if (place.buffer_type == BufferType::L1) {
    require_room(spec, "a core's L1", arch.l1_bytes_per_core);
    base::require(shard.grid_rows <= arch.worker_rows && shard.grid_columns <= arch.worker_columns,
                  "[tensor] a grid within the {}x{} worker cores of {} is required; received {}x{} for {}; take a "
                  "smaller grid with larger shards",
                  arch.worker_rows, arch.worker_columns, arch.name, shard.grid_rows, shard.grid_columns, spec);
    return;
  }
  require_room(spec, "a bank of DRAM", arch.dram_bytes_per_bank);
  base::require(place.memory_layout != TensorMemoryLayout::BLOCK_SHARDED,
                "[tensor] DRAM takes HEIGHT_SHARDED and WIDTH_SHARDED; received {}; put blocks into L1", spec);
  base::require(shard.grid_rows == 1 && shard.grid_columns <= arch.dram_banks,
                "[tensor] a grid of 1x{} or less is required in DRAM, a bank for each shard; received {}x{} for {}",
                arch.dram_banks, shard.grid_rows, shard.grid_columns, spec);
}

PagesInBanks pages_in_banks(const TensorSpec& spec, std::int64_t banks) {
  if (!spec.memory_config.is_sharded()) return {spec.num_pages(), spec.page_bytes()};
  const ShardSpec& shard = *spec.memory_config.shard_spec;
  if (spec.layout == Layout::TILE)
    return {banks * (shard.shard_height / kTileHeight) * (shard.shard_width / kTileWidth), spec.page_bytes()};
  return {banks * shard.shard_height, shard.shard_width * element_bits(spec.dtype) / 8};
}

CoreGrid grid_of_cores(std::int64_t cores, const ArchSpec& arch) {
  const std::int64_t columns = std::min(cores, arch.worker_columns);
  return {div_up(cores, columns), columns};
}

CoreGrid grid_for_width(std::int64_t tiles, const ArchSpec& arch) {
  CoreGrid best;
  for (std::int64_t rows = 1; rows <= arch.worker_rows; ++rows) {
    for (std::int64_t columns = 1; columns <= arch.worker_columns; ++columns) {
      const std::int64_t distance = std::abs(rows * columns - kCoresOfWidth);
      const std::int64_t shortest = std::abs(best.cores() - kCoresOfWidth);
      if (tiles % (rows * columns) != 0 || distance > shortest) continue;
      // Of the grids that are as good the one with fewer cores, then with fewer rows, comes first.
      if (distance < shortest || rows * columns < best.cores()) best = {rows, columns};
    }
  }
  if (best.cores() >= std::min(tiles, kCoresOfWidth / 2)) return best;
  return grid_of_cores(div_up(tiles, div_up(tiles, kCoresOfWidth)), arch);
}

MemoryConfig sharded_over(const TensorSpec& spec, TensorMemoryLayout layout, const CoreGrid& grid, BufferType type,
                          ShardOrientation orientation) {
  if (layout == TensorMemoryLayout::INTERLEAVED) return {.buffer_type = type};
  require_elements(spec, layout);
  base::require(grid.rows >= 1 && grid.columns >= 1,
                "[tensor] {} needs a grid of one core or more; received {}x{} for {}; give both extents",
                to_string(layout), grid.rows, grid.columns, spec.shape);
  const bool by_rows = orientation == ShardOrientation::ROW_MAJOR;
  const bool block = layout == TensorMemoryLayout::BLOCK_SHARDED;
  const std::int64_t unit = spec.layout == Layout::TILE ? kTileHeight : 1;
  const std::int64_t down = block                                          ? (by_rows ? grid.rows : grid.columns)
                            : layout == TensorMemoryLayout::HEIGHT_SHARDED ? grid.cores()
                                                                           : 1;
  const std::int64_t across = block                                         ? (by_rows ? grid.columns : grid.rows)
                              : layout == TensorMemoryLayout::WIDTH_SHARDED ? grid.cores()
                                                                            : 1;
  return {layout, type,
          ShardSpec{.grid_rows = grid.rows,
                    .grid_columns = grid.columns,
                    .shard_height = cut(spec.physical_height(), down, unit),
                    .shard_width = cut(spec.physical_width(), across, unit),
                    .orientation = orientation}};
}

MemoryConfig sharded_over(const TensorSpec& spec, TensorMemoryLayout layout, const ArchSpec& arch, BufferType type) {
  if (type == BufferType::DRAM) return sharded_over(spec, layout, CoreGrid{1, arch.dram_banks}, type);
  if (layout == TensorMemoryLayout::INTERLEAVED) return kL1Interleaved;
  require_elements(spec, layout);
  const std::int64_t unit = spec.layout == Layout::TILE ? kTileHeight : 1;
  const std::int64_t rows = div_up(spec.physical_height(), unit);
  const std::int64_t columns = div_up(spec.physical_width(), unit);
  switch (layout) {
    case TensorMemoryLayout::INTERLEAVED:
      break;
    case TensorMemoryLayout::HEIGHT_SHARDED: {
      const std::int64_t matrices = spec.num_matrices();
      const bool one_each = 1 < matrices && matrices <= arch.worker_cores();
      const std::int64_t cores = std::min(one_each ? matrices : rows, arch.worker_cores());
      MemoryConfig place = sharded_over(spec, layout, grid_of_cores(cores, arch));
      if (one_each) place.shard_spec->shard_height = spec.physical_height() / matrices;
      return place;
    }
    case TensorMemoryLayout::WIDTH_SHARDED:
      return sharded_over(spec, layout, grid_for_width(columns, arch));
    case TensorMemoryLayout::BLOCK_SHARDED:
      return sharded_over(
          spec, layout,
          CoreGrid{largest_divisor(rows, arch.worker_rows), largest_divisor(columns, arch.worker_columns)});
  }
  return kL1Interleaved;
}

MemoryConfig create_sharded_memory_config(const Shape& shape, const CoreGrid& core_grid, TensorMemoryLayout strategy,
                                          ShardOrientation orientation) {
  const TensorSpec spec{.shape = shape};
  return sharded_over(spec, strategy, core_grid, BufferType::L1, orientation);
}

} // namespace tessera
