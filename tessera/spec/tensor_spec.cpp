#include "tessera/spec/tensor_spec.hpp"

#include "tessera/base/error.hpp"
#include "tessera/spec/sharding.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera {
namespace {

std::int64_t row_extent(const Shape& shape) {
  return shape.rank() >= 2 ? shape[-2] : 1;
}

} // namespace

std::string_view to_string(Layout layout) {
  return layout == Layout::TILE ? "TILE" : "ROW_MAJOR";
}
std::string_view to_string(BufferType type) {
  return type == BufferType::DRAM ? "DRAM" : "L1";
}
std::string_view to_string(TensorMemoryLayout layout) {
  switch (layout) {
    case TensorMemoryLayout::INTERLEAVED:
      return "INTERLEAVED";
    case TensorMemoryLayout::HEIGHT_SHARDED:
      return "HEIGHT_SHARDED";
    case TensorMemoryLayout::WIDTH_SHARDED:
      return "WIDTH_SHARDED";
    case TensorMemoryLayout::BLOCK_SHARDED:
      return "BLOCK_SHARDED";
  }
  return "?";
}

std::string to_string(const MemoryConfig& config) {
  std::string text = fmt::format("{} {}", to_string(config.buffer_type), to_string(config.memory_layout));
  if (config.shard_spec) {
    const ShardSpec& shard = *config.shard_spec;
    text += fmt::format(" {}x{} on {}x{} cores", shard.shard_height, shard.shard_width, shard.grid_rows,
                        shard.grid_columns);
    if (shard.orientation == ShardOrientation::COL_MAJOR) text += " COL_MAJOR";
  }
  return text;
}

Shape TensorSpec::padded_shape() const {
  if (layout == Layout::ROW_MAJOR) return shape;
  const Shape matrix = shape.rank() >= 2 ? shape : Shape{1, shape[-1]};
  return matrix.with(-1, round_up(matrix[-1], kTileWidth)).with(-2, round_up(matrix[-2], kTileHeight));
}

std::int64_t TensorSpec::num_matrices() const {
  std::int64_t product = 1;
  for (int dim = 0; dim + 2 < static_cast<int>(shape.rank()); ++dim) product *= shape[dim];
  return product;
}

std::int64_t TensorSpec::tile_rows() const {
  return div_up(row_extent(shape), kTileHeight);
}
std::int64_t TensorSpec::tile_columns() const {
  return div_up(shape[-1], kTileWidth);
}

std::int64_t TensorSpec::physical_height() const {
  return num_matrices() * (layout == Layout::TILE ? tile_rows() * kTileHeight : row_extent(shape));
}
std::int64_t TensorSpec::physical_width() const {
  return layout == Layout::TILE ? tile_columns() * kTileWidth : shape[-1];
}

std::int64_t TensorSpec::page_bytes() const {
  return layout == Layout::TILE ? tile_bytes(dtype) : shape[-1] * element_bits(dtype) / 8;
}

std::int64_t TensorSpec::num_pages() const {
  return layout == Layout::TILE ? num_matrices() * tile_rows() * tile_columns() : num_matrices() * row_extent(shape);
}

std::string to_string(const TensorSpec& spec) {
  return fmt::format("{} {} {} {}", to_string(spec.dtype), spec.shape, to_string(spec.layout),
                     to_string(spec.memory_config));
}

void validate(const TensorSpec& spec) {
  base::require(spec.shape.rank() >= 1 && spec.shape.volume() > 0,
                "[tensor] a shape of rank 1 or more without empty extents is required; received {}", spec.shape);
  base::require(spec.layout == Layout::TILE || !is_block_float(spec.dtype),
                "[tensor] {} exists in TILE layout only; received ROW_MAJOR; tilize it or choose BFLOAT16",
                to_string(spec.dtype));
  const MemoryConfig& place = spec.memory_config;
  base::require(place.is_sharded() == place.shard_spec.has_value(),
                "[tensor] a sharded layout and a ShardSpec come together; received {}", place);
  if (place.is_sharded()) validate_shards(spec);
}

} // namespace tessera
