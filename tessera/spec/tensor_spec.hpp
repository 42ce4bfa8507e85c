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

/// The part of a tensor that one core holds, and the grid of cores that hold parts.
struct ShardSpec {
  std::int64_t grid_rows = 1;
  std::int64_t grid_columns = 1;
  std::int64_t shard_height = 0; ///< elements
  std::int64_t shard_width = 0;  ///< elements

  friend bool operator==(const ShardSpec&, const ShardSpec&) = default;
};

/// Where a tensor lies. Interleaved placement: page i lies in bank i mod the number of banks.
struct MemoryConfig {
  TensorMemoryLayout memory_layout = TensorMemoryLayout::INTERLEAVED;
  BufferType buffer_type = BufferType::DRAM;
  std::optional<ShardSpec> shard_spec;

  friend bool operator==(const MemoryConfig&, const MemoryConfig&) = default;
};

inline const MemoryConfig kDramInterleaved{};
inline const MemoryConfig kL1Interleaved{.buffer_type = BufferType::L1};

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
/// ShardSpec.
void validate(const TensorSpec& spec);

} // namespace tessera
