#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tessera/spec/data_type.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera {

/// TILE: the last two dimensions are padded to 32 and stored tile by tile. ROW_MAJOR: rows are contiguous.
enum class Layout { ROW_MAJOR, TILE };
/// Which of a chip's memories.
enum class BufferType { DRAM, L1 };
/// How pages spread over the banks (interleaved) or cores (sharded) of one chip.
enum class TensorMemoryLayout { INTERLEAVED, HEIGHT_SHARDED, WIDTH_SHARDED, BLOCK_SHARDED };

std::string_view to_string(Layout layout);
std::string_view to_string(BufferType type);
std::string_view to_string(TensorMemoryLayout layout);

/// How shards go over the grid of cores. HEIGHT_ and WIDTH_SHARDED: along its rows or down its columns. BLOCK_SHARDED:
/// with ROW_MAJOR the shards down the tensor lie on the grid's rows, with COL_MAJOR on its columns.
enum class ShardOrientation { ROW_MAJOR, COL_MAJOR };

/// The part of a tensor that one core holds, and the grid of cores that hold parts: of DRAM, one row of its banks.
struct ShardSpec {
  std::int64_t grid_rows = 1;
  std::int64_t grid_columns = 1;
  std::int64_t shard_height = 0; ///< elements
  std::int64_t shard_width = 0;  ///< elements
  ShardOrientation orientation = ShardOrientation::ROW_MAJOR;

  std::int64_t cores() const { return grid_rows * grid_columns; }

  friend bool operator==(const ShardSpec&, const ShardSpec&) = default;
};

/// Where a tensor lies. Interleaved placement: page i lies in bank i mod the number of banks. Sharded placement: a core
/// holds one shard (docs/memory.md). A tensor's has a ShardSpec; what is asked of an op may leave it to the op.
struct MemoryConfig {
  TensorMemoryLayout memory_layout = TensorMemoryLayout::INTERLEAVED;
  BufferType buffer_type = BufferType::DRAM;
  std::optional<ShardSpec> shard_spec;

  bool is_sharded() const { return memory_layout != TensorMemoryLayout::INTERLEAVED; }

  friend bool operator==(const MemoryConfig&, const MemoryConfig&) = default;
};

inline const MemoryConfig kDramInterleaved{};
inline const MemoryConfig kL1Interleaved{.buffer_type = BufferType::L1};
/// To ask an op for: it chooses the ShardSpec.
inline const MemoryConfig kL1HeightSharded{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1, {}};
inline const MemoryConfig kL1WidthSharded{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, {}};
inline const MemoryConfig kL1BlockSharded{TensorMemoryLayout::BLOCK_SHARDED, BufferType::L1, {}};

std::string to_string(const MemoryConfig& config);

/// All that is known of a tensor without its data: extents, element format, layout and place.
struct TensorSpec {
  Shape shape;
  DataType dtype = DataType::BFLOAT16;
  Layout layout = Layout::TILE;
  MemoryConfig memory_config;

  /// The shape as stored: with TILE layout the last two extents are rounded up to 32 (a missing row dimension counts as
  /// 1).
  Shape padded_shape() const;
  /// The padded shape as one matrix, all dimensions but the last folded: what shards are cut from.
  std::int64_t physical_height() const;
  std::int64_t physical_width() const;
  /// Matrices in the tensor: the product of all but the last two extents.
  std::int64_t num_matrices() const;
  /// Tiles down and across one matrix. REQUIRES: TILE layout.
  std::int64_t tile_rows() const;
  std::int64_t tile_columns() const;
  /// Number of the tile (row, column) of a matrix in the host memory behind the device (tile_position in
  /// tessera/spec/tile.hpp). The card interleaves the same tiles row by row; a permutation of pages does not show in
  /// addresses or sizes.
  std::int64_t tile_index(std::int64_t matrix, std::int64_t tile_row, std::int64_t tile_column) const {
    return matrix * tile_rows() * tile_columns() + tile_position(tile_rows(), tile_columns(), tile_row, tile_column);
  }
  /// A page is a tile (TILE) or one row (ROW_MAJOR), the unit of interleaving.
  std::int64_t page_bytes() const;
  std::int64_t num_pages() const;
  std::int64_t size_bytes() const { return page_bytes() * num_pages(); }

  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

/// "BFLOAT16 [1, 1, 32, 2048] TILE L1 INTERLEAVED"
std::string to_string(const TensorSpec& spec);

/// Throws InvalidArgument when a spec contradicts itself: block formats in ROW_MAJOR, rank 0, sharding without a
/// ShardSpec or with one that does not fit the shape (tessera/spec/sharding.hpp).
void validate(const TensorSpec& spec);

} // namespace tessera

/// Formats where the text is wanted: a check's message costs nothing while the check holds.
template <>
struct fmt::formatter<tessera::MemoryConfig> : fmt::formatter<std::string> {
  auto format(const tessera::MemoryConfig& config, format_context& context) const {
    return fmt::formatter<std::string>::format(tessera::to_string(config), context);
  }
};
template <>
struct fmt::formatter<tessera::TensorSpec> : fmt::formatter<std::string> {
  auto format(const tessera::TensorSpec& spec, format_context& context) const {
    return fmt::formatter<std::string>::format(tessera::to_string(spec), context);
  }
};
