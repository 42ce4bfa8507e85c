#include "tessera/ops/transformer/heads.hpp"

#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/sharding.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// In prefill a matrix is a head and its rows are positions; in decode a matrix is a user and its rows are heads.
enum class Rows { POSITIONS, HEADS };

Shape heads_shape(Rows rows, std::int64_t batch, std::int64_t length, std::int64_t heads, std::int64_t head_dim) {
  return rows == Rows::POSITIONS ? Shape{batch, heads, length, head_dim} : Shape{1, length, heads, head_dim};
}

/// Copies `columns` neighbours of a row as they are stored, 16 of a face row at a time: with their shared exponent, in
/// block formats. REQUIRES: one format; all three column numbers are multiples of 16.
void copy_stored(const kernels::ConstTiles& from, std::int64_t row, std::int64_t column, std::int64_t columns,
                 const kernels::Tiles& to, std::int64_t to_row) {
  const std::int64_t bytes = tile_bytes(to.dtype);
  const std::int64_t exponents = is_block_float(to.dtype) ? kTileElements / kFaceWidth : 0;
  const std::int64_t group_bytes = kFaceWidth * element_bits(to.dtype) / 8;
  for (std::int64_t i = 0; i < columns; i += kFaceWidth) {
    const std::int64_t in = column + i;
    const std::byte* const source =
        from.data + tile_position(from.tile_rows, from.tile_columns, row / kTileHeight, in / kTileWidth) * bytes;
    std::byte* const target =
        to.data + tile_position(to.tile_rows, to.tile_columns, to_row / kTileHeight, i / kTileWidth) * bytes;
    const std::int64_t group = tile_element(row % kTileHeight, in % kTileWidth) / kFaceWidth;
    const std::int64_t to_group = tile_element(to_row % kTileHeight, i % kTileWidth) / kFaceWidth;
    if (exponents > 0) target[to_group] = source[group];
    std::memcpy(target + exponents + to_group * group_bytes, source + exponents + group * group_bytes,
                static_cast<std::size_t>(group_bytes));
  }
}

/// Copies heads first_head .. of the fused rows into a tensor of their own.
runtime::Stage split(const Tensor& fused, const Tensor& part, std::int64_t first_head, Rows rows) {
  const std::int64_t head_dim = part.shape()[-1];
  const std::int64_t heads = part.shape()[1];
  const std::int64_t length = part.shape()[2];
  const bool stored = head_dim % kTileWidth == 0 && fused.dtype() == part.dtype();
  if (stored && rows == Rows::POSITIONS && (length % kTileHeight == 0 || part.shape()[0] == 1)) {
    return for_each_tile(part.spec(), [in = fused.view(), out = part.view(), heads, length, first_head,
                                       columns = head_dim / kTileWidth](const runtime::Unit& unit, const TileAt& tile) {
      const kernels::Tiles from = in.tiles(unit.chip);
      const kernels::Tiles to = out.tiles(unit.chip, tile.matrix);
      const std::int64_t row = tile.matrix / heads * (length / kTileHeight) + tile.row;
      const std::int64_t column = (first_head + tile.matrix % heads) * columns + tile.column;
      const std::int64_t bytes = tile_bytes(to.dtype);
      std::memcpy(to.data + tile_position(to.tile_rows, to.tile_columns, tile.row, tile.column) * bytes,
                  from.data + tile_position(from.tile_rows, from.tile_columns, row, column) * bytes,
                  static_cast<std::size_t>(bytes));
    });
  }
  return for_each_row(part, [in = fused.view(), out = part.view(), head_dim, heads, length, first_head, rows, stored](
                                std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const std::int64_t head = first_head + (rows == Rows::POSITIONS ? matrix % heads : row);
    const std::int64_t token = rows == Rows::POSITIONS ? matrix / heads * length + row : matrix;
    if (stored) return copy_stored(in.tiles(chip), token, head * head_dim, head_dim, out.tiles(chip, matrix), row);
    float* const values = runtime::thread_scratch(head_dim);
    kernels::kernels().load_row(in.tiles(chip), token, head * head_dim, head_dim, values);
    kernels::kernels().store_row(out.tiles(chip, matrix), row, values, head_dim);
  });
}

/// As TT-NN's decode heads are placed: the input in any width, each user's heads on a core of its own.
void require_users_on_cores(std::string_view name, const Tensor& input, const MemoryConfig& output) {
  base::require(
      !input.memory_config().is_sharded() || input.memory_config().memory_layout == TensorMemoryLayout::WIDTH_SHARDED,
      "[{}] input_tensor must be interleaved or WIDTH_SHARDED; received {}", name, input.spec());
  const std::int64_t users = input.shape()[-2];
  const std::int64_t cores =
      output.shard_spec ? output.shard_spec->cores() : input.device().board().arch.worker_cores();
  base::require(output.memory_layout == TensorMemoryLayout::HEIGHT_SHARDED && users <= cores,
                "[{}] a HEIGHT_SHARDED memory_config with a core for each of {} users is required; received {} with {} "
                "cores; give kL1HeightSharded",
                name, users, output, cores);
}

/// One matrix of `spec` on each core of the grid asked for, or of the first cores. As TT-NN's op it takes the grid of a
/// ShardSpec alone: one is given for q, k and v, whose heads may fill different numbers of tiles.
TensorSpec on_users_cores(TensorSpec spec, const MemoryConfig& asked, const ArchSpec& arch) {
  const std::int64_t users = spec.num_matrices();
  const CoreGrid grid = asked.shard_spec ? CoreGrid{asked.shard_spec->grid_rows, asked.shard_spec->grid_columns}
                                         : grid_of_cores(users, arch);
  spec.memory_config = sharded_over(spec, asked.memory_layout, grid, asked.buffer_type);
  spec.memory_config.shard_spec->shard_height = spec.physical_height() / users;
  return spec;
}

/// Joined heads of decode: one head's columns on each core, where these are whole tiles.
TensorSpec on_heads_cores(TensorSpec spec, std::int64_t heads, const ArchSpec& arch) {
  constexpr auto kWidth = TensorMemoryLayout::WIDTH_SHARDED;
  const bool one_each = spec.shape[-1] / heads % kTileWidth == 0 && heads <= arch.worker_cores();
  spec.memory_config =
      one_each ? sharded_over(spec, kWidth, grid_of_cores(heads, arch)) : sharded_over(spec, kWidth, arch);
  if (one_each) spec.memory_config.shard_spec->shard_width = spec.shape[-1] / heads;
  return spec;
}

QkvHeads create_heads(std::string_view name, Rows rows, const Tensor& input, const CreateHeadsOptions& options) {
  require_tile(name, "input_tensor", input);
  const std::int64_t fused_heads = options.num_heads + 2 * options.num_kv_heads;
  const std::int64_t width = input.shape()[-1];
  base::require(
      options.num_heads > 0 && options.num_kv_heads > 0 && options.batch_size > 0 && input.spec().num_matrices() == 1 &&
          width % fused_heads == 0 && input.shape()[-2] % options.batch_size == 0,
      "[{}] input_tensor [1, 1, R, (num_heads + 2 num_kv_heads) D] is required; received {} with num_heads {}, "
      "num_kv_heads {} and batch_size {}",
      name, input.shape(), options.num_heads, options.num_kv_heads, options.batch_size);
  runtime::MeshDevice& device = input.device();
  const std::int64_t head_dim = width / fused_heads;
  const std::int64_t length = input.shape()[-2] / options.batch_size;
  if (rows == Rows::HEADS) require_users_on_cores(name, input, options.memory_config);
  const auto allocate = [&](std::int64_t heads, std::string_view part) {
    const TensorSpec spec{
        heads_shape(rows, options.batch_size, length, heads, head_dim), input.dtype(), Layout::TILE, {}};
    return Tensor::allocate(device,
                            rows == Rows::HEADS ? on_users_cores(spec, options.memory_config, device.board().arch)
                                                : placed(spec, input, options.memory_config),
                            part);
  };
  QkvHeads heads{allocate(options.num_heads, "q"), allocate(options.num_kv_heads, "k"),
                 allocate(options.num_kv_heads, "v")};
  launch(device,
         {.name = name,
          .stages = {split(input, heads.q, 0, rows), split(input, heads.k, options.num_heads, rows),
                     split(input, heads.v, options.num_heads + options.num_kv_heads, rows)}},
         {{"input_tensor", input}}, {{"q", heads.q}, {"k", heads.k}, {"v", heads.v}}, [&] {
           return OpDetails{{{"num_heads", options.num_heads},
                             {"num_kv_heads", options.num_kv_heads},
                             {"batch_size", options.batch_size}},
                            {},
                            movement()};
         });
  return heads;
}

Tensor concat_heads(std::string_view name, Rows rows, const Tensor& input) {
  require_tile(name, "input_tensor", input);
  const Shape& shape = input.shape();
  base::require(shape.rank() == 4 && (rows == Rows::POSITIONS || shape[0] == 1),
                "[{}] input_tensor must have the shape [{}, D]; received {}", name,
                rows == Rows::POSITIONS ? "B, H, S" : "1, B, H", shape);
  runtime::MeshDevice& device = input.device();
  const std::int64_t heads = rows == Rows::POSITIONS ? shape[1] : shape[2];
  const std::int64_t length = rows == Rows::POSITIONS ? shape[2] : shape[1];
  const std::int64_t tokens = shape[0] * length;
  const std::int64_t head_dim = shape[3];
  const TensorSpec joined{{1, 1, tokens, heads * head_dim}, input.dtype(), Layout::TILE, {}};
  if (rows == Rows::HEADS) require_height_sharded(name, "input_tensor", input);
  Tensor output = Tensor::allocate(
      device, rows == Rows::HEADS ? on_heads_cores(joined, heads, device.board().arch) : placed(joined, input), name);
  const auto body = [in = input.view(), out = output.view(), heads, length, head_dim, rows](
                        std::int64_t chip, std::int64_t, std::int64_t token) {
    float* const values = runtime::thread_scratch(heads * head_dim);
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t matrix = rows == Rows::POSITIONS ? token / length * heads + head : token;
      const std::int64_t row = rows == Rows::POSITIONS ? token % length : head;
      kernels::kernels().load_row(in.tiles(chip, matrix), row, 0, head_dim, values + head * head_dim);
    }
    kernels::kernels().store_row(out.tiles(chip), token, values, heads * head_dim);
  };
  launch(device, {.name = name, .stages = {for_each_row(output, body)}}, {{"input_tensor", input}},
         {{"output", output}}, [] { return OpDetails{.decomposition = movement()}; });
  return output;
}

} // namespace

QkvHeads nlp_create_qkv_heads(const Tensor& input_tensor, const CreateHeadsOptions& options) {
  return create_heads("nlp_create_qkv_heads", Rows::POSITIONS, input_tensor, options);
}
QkvHeads nlp_create_qkv_heads_decode(const Tensor& input_tensor, const CreateHeadsOptions& options) {
  return create_heads("nlp_create_qkv_heads_decode", Rows::HEADS, input_tensor, options);
}
Tensor nlp_concat_heads(const Tensor& input_tensor) {
  return concat_heads("nlp_concat_heads", Rows::POSITIONS, input_tensor);
}
Tensor nlp_concat_heads_decode(const Tensor& input_tensor) {
  return concat_heads("nlp_concat_heads_decode", Rows::HEADS, input_tensor);
}

} // namespace tessera::ops
