#pragma once

#include <cstdint>

#include "tessera/spec/board_spec.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera {

/// A rectangle of cores, from the corner of the worker grid on.
struct CoreGrid {
  std::int64_t rows = 1;
  std::int64_t columns = 1;

  std::int64_t cores() const { return rows * columns; }
  friend bool operator==(const CoreGrid&, const CoreGrid&) = default;
};

/// How many shards a tensor makes; those of the last row and column may be filled in part.
struct ShardCount {
  std::int64_t down = 1;
  std::int64_t across = 1;

  std::int64_t total() const { return down * across; }
};
/// REQUIRES: a sharded spec with extents of 1 or more.
ShardCount shard_count(const TensorSpec& spec);

/// Throws InvalidArgument unless the shards fit the tensor as TT-NN's TensorSpec has it: whole tiles in TILE layout;
/// HEIGHT_SHARDED as wide as the tensor, WIDTH_SHARDED as high (padding counts), no more of them than cores;
/// BLOCK_SHARDED no more down and across than the grid has rows and columns. REQUIRES: a sharded spec with a ShardSpec.
void validate_shards(const TensorSpec& spec);

/// validate(spec), and that the grid is one of `arch`: worker cores in L1, in DRAM one row of banks, without blocks. A
/// shard that is larger than its tensor is not larger than a core's L1, or a bank of DRAM.
void validate(const TensorSpec& spec, const ArchSpec& arch);

/// What a tensor takes of `banks` banks of DRAM or cores' L1: its pages, dealt out one by one, or, since allocations
/// are in lock step, the pages of one whole shard on every core. A page of a ROW_MAJOR shard is a row of it.
struct PagesInBanks {
  std::int64_t pages = 0;
  std::int64_t page_bytes = 0;
};
PagesInBanks pages_in_banks(const TensorSpec& spec, std::int64_t banks);

/// The smallest rectangle of full rows, or a part of one row, with so many cores. REQUIRES: 1 or more.
CoreGrid grid_of_cores(std::int64_t cores, const ArchSpec& arch);
/// The grid over which rows of so many tiles are cut in decode: of the numbers of cores that divide them without a rest
/// the one nearest to 32, where half a grid reads DRAM as fast as a whole one (tt_transformers, find_grid). Where these
/// are few, about 32 cores with a rest. REQUIRES: 1 tile or more.
CoreGrid grid_for_width(std::int64_t tiles, const ArchSpec& arch);

/// A tensor's place, cut as `layout` says over a grid: the smallest shards, of whole tiles in TILE layout. Throws
/// InvalidArgument for shards of a tensor without elements, and for a grid without cores.
MemoryConfig sharded_over(const TensorSpec& spec, TensorMemoryLayout layout, const CoreGrid& grid,
                          BufferType type = BufferType::L1, ShardOrientation orientation = ShardOrientation::ROW_MAJOR);
/// The same over a grid that suits: HEIGHT_SHARDED one matrix for each core, where there are enough; WIDTH_SHARDED
/// grid_for_width; BLOCK_SHARDED as many rows and columns as divide the tiles. In DRAM all banks.
MemoryConfig sharded_over(const TensorSpec& spec, TensorMemoryLayout layout, const ArchSpec& arch,
                          BufferType type = BufferType::L1);

/// TT-NN's helper: the place of a TILE tensor of `shape` in L1, cut over `core_grid`.
MemoryConfig create_sharded_memory_config(const Shape& shape, const CoreGrid& core_grid, TensorMemoryLayout strategy,
                                          ShardOrientation orientation = ShardOrientation::ROW_MAJOR);

} // namespace tessera
