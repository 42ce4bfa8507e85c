#include "tessera/tensor/mesh.hpp"

#include "tessera/base/error.hpp"

namespace tessera::tensor {
namespace {

/// Chips of a mesh along which something is cut or put together.
struct Axis {
  std::int64_t chips;
  std::int64_t stride; ///< between the numbers of neighbours

  std::int64_t place(std::int64_t chip) const { return chip / stride % chips; }
};
Axis whole_mesh(const BoardSpec& board) {
  return {board.chips(), 1};
}
Axis rows_axis(const BoardSpec& board) {
  return {board.mesh_rows, board.mesh_columns};
}
Axis columns_axis(const BoardSpec& board) {
  return {board.mesh_columns, 1};
}

/// `dim` counted from the outermost.
int dim_of(std::string_view function, const Shape& shape, int dim) {
  const int rank = static_cast<int>(shape.rank());
  base::require(-rank <= dim && dim < rank, "[{}] a dimension must be in {}..{} for {}; received {}", function, -rank,
                rank - 1, shape, dim);
  return dim < 0 ? dim + rank : dim;
}

/// Mappers and composers: all chips or their rows and columns, and these in different dimensions.
template <typename Cuts>
void require_apart(std::string_view function, const Shape& shape, const Cuts& cuts) {
  base::require(!cuts.mesh || (!cuts.rows && !cuts.columns),
                "[{}] all chips together or the mesh's rows and columns may be named; received both", function);
  base::require(!cuts.rows || !cuts.columns ||
                    dim_of(function, shape, cuts.rows->dim) != dim_of(function, shape, cuts.columns->dim),
                "[{}] rows and columns of the mesh need different dimensions; received {} for both; name all chips "
                "together to use one",
                function, cuts.rows ? cuts.rows->dim : 0);
}

void cut(std::vector<MeshPart>& parts, const Axis& axis, const MeshCut& cut) {
  const Shape& whole = parts.front().whole;
  const int dim = dim_of("mesh_mapper", whole, cut.dim);
  const std::int64_t share = div_up(whole[dim], axis.chips);
  base::require(cut.extent > 0 || whole[dim] % axis.chips == 0,
                "[mesh_mapper] dimension {} of {} must be a multiple of the {} chips that it is cut over, unless each "
                "shard's extent is given; give {} or more to pad with zeros",
                dim, whole, axis.chips, share);
  const std::int64_t extent = cut.extent == 0 ? share : cut.extent;
  base::require(extent >= share,
                "[mesh_mapper] shards of {} or more are required for dimension {} of {} on {} chips; "
                "received {}",
                share, dim, whole, axis.chips, extent);
  for (std::size_t chip = 0; chip < parts.size(); ++chip) {
    parts[chip].shape = parts[chip].shape.with(dim, extent);
    parts[chip].first = parts[chip].first.with(dim, axis.place(static_cast<std::int64_t>(chip)) * extent);
  }
}

std::vector<MeshPart> parts_for(std::string_view function, const Tensor& tensor, const Shape& whole,
                                const MeshMapper& mapper) {
  std::vector<MeshPart> parts = mesh_parts(tensor.device().board(), whole, mapper);
  base::require(parts.front().shape == tensor.shape(),
                "[{}] a tensor of the shards' shape {} is required for {}; received {}", function, parts.front().shape,
                whole, to_string(tensor.spec()));
  return parts;
}

Tensor allocate_shards(runtime::MeshDevice& device, const TensorSpec& whole, const MeshMapper& mapper,
                       std::string_view name, HostMemory memory) {
  const TensorSpec spec = shard_spec(device.board(), whole, mapper);
  validate(spec);
  const bool shared = memory == HostMemory::SHARED;
  return Tensor::allocate(device, spec, name, shared ? sharing_of(device.board(), mapper) : runtime::Sharing{});
}

/// The rows of each chip; those of all when they are the same.
MeshRows rows_for(const std::vector<MeshPart>& parts, const std::function<HostRows(const MeshPart&)>& rows_of_part) {
  if (parts.front() == MeshPart::all_of(parts.front().whole) && parts.back() == parts.front())
    return rows_of_part(parts.front());
  std::vector<HostRows> rows;
  for (const MeshPart& part : parts) rows.push_back(rows_of_part(part));
  return MeshRows(std::move(rows));
}

/// The extent of `concat` in the result, and that of each chip, as a cut.
MeshCut add_concat(Shape& whole, const Shape& shard, const Axis& axis, const MeshConcat& concat) {
  const int dim = dim_of("mesh_composer", shard, concat.dim);
  const std::int64_t held = axis.chips * shard[dim];
  base::require(0 <= concat.extent && concat.extent <= held,
                "[mesh_composer] an extent of 1 to {} is required for dimension {} of {} on {} chips; received {}",
                held, dim, shard, axis.chips, concat.extent);
  whole = whole.with(dim, concat.extent == 0 ? held : concat.extent);
  return {dim, shard[dim]};
}

/// What `composer` takes from which chip.
std::vector<ChipPart> chip_parts(const Tensor& tensor, const MeshComposer& composer) {
  require_apart("mesh_composer", tensor.shape(), composer);
  const BoardSpec& board = tensor.device().board();
  Shape whole = tensor.shape();
  MeshMapper mapper;
  if (composer.mesh) mapper.mesh = add_concat(whole, tensor.shape(), whole_mesh(board), *composer.mesh);
  if (composer.rows) mapper.rows = add_concat(whole, tensor.shape(), rows_axis(board), *composer.rows);
  if (composer.columns) mapper.columns = add_concat(whole, tensor.shape(), columns_axis(board), *composer.columns);
  const std::vector<MeshPart> parts = mesh_parts(board, whole, mapper);
  std::vector<ChipPart> result;
  for (std::int64_t chip = 0; chip < board.chips(); ++chip) {
    const bool first_of_rows = composer.mesh || composer.rows || rows_axis(board).place(chip) == 0;
    const bool first_of_columns = composer.mesh || composer.columns || columns_axis(board).place(chip) == 0;
    if (first_of_rows && first_of_columns) result.push_back({chip, parts[static_cast<std::size_t>(chip)]});
  }
  return result;
}

} // namespace

MeshMapper replicate_tensor_to_mesh() {
  return {};
}
MeshMapper shard_tensor_to_mesh(int dim, std::int64_t extent) {
  return {.mesh = MeshCut{dim, extent}};
}
MeshMapper shard_tensor_2d_mesh(std::optional<MeshCut> rows, std::optional<MeshCut> columns) {
  return {.rows = rows, .columns = columns};
}
MeshComposer concat_mesh_to_tensor(int dim, std::int64_t extent) {
  return {.mesh = MeshConcat{dim, extent}};
}
MeshComposer concat_mesh_2d_to_tensor(std::optional<MeshConcat> rows, std::optional<MeshConcat> columns) {
  return {.rows = rows, .columns = columns};
}

std::vector<MeshPart> mesh_parts(const BoardSpec& board, const Shape& whole, const MeshMapper& mapper) {
  require_apart("mesh_mapper", whole, mapper);
  std::vector<MeshPart> parts(static_cast<std::size_t>(board.chips()), MeshPart::all_of(whole));
  if (mapper.mesh) cut(parts, whole_mesh(board), *mapper.mesh);
  if (mapper.rows) cut(parts, rows_axis(board), *mapper.rows);
  if (mapper.columns) cut(parts, columns_axis(board), *mapper.columns);
  return parts;
}

TensorSpec shard_spec(const BoardSpec& board, const TensorSpec& whole, const MeshMapper& mapper) {
  TensorSpec spec = whole;
  spec.shape = mesh_parts(board, whole.shape, mapper).front().shape;
  return spec;
}

runtime::Sharing sharing_of(const BoardSpec& board, const MeshMapper& mapper) {
  const auto columns = static_cast<std::uint32_t>(board.mesh_columns);
  const auto rows = static_cast<std::uint32_t>(board.mesh_rows);
  if (mapper.mesh || (mapper.rows && mapper.columns)) return {};
  if (mapper.rows) return {.divisor = columns, .modulus = rows};
  if (mapper.columns) return {.divisor = 1, .modulus = columns};
  return {.divisor = 1, .modulus = 1};
}

Tensor from_host(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& whole, const MeshMapper& mapper,
                 std::string_view name, HostMemory memory) {
  Tensor result = allocate_shards(device, whole, mapper, name, memory);
  write_rows(result, source, whole.shape, mapper);
  return result;
}

Tensor from_host_transposed(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& whole,
                            const MeshMapper& mapper, std::string_view name, HostMemory memory) {
  Tensor result = allocate_shards(device, whole, mapper, name, memory);
  write_transposed(result, source, whole.shape, mapper);
  return result;
}

Tensor from_host(runtime::MeshDevice& device, std::vector<std::int32_t> values, const TensorSpec& whole,
                 const MeshMapper& mapper, std::string_view name) {
  Tensor result = allocate_shards(device, whole, mapper, name, HostMemory::OF_EACH_CHIP);
  write(result, std::move(values), whole.shape, mapper);
  return result;
}

void write_rows(const Tensor& tensor, const HostRows& source, const Shape& whole, const MeshMapper& mapper) {
  const std::vector<MeshPart> parts = parts_for("from_host", tensor, whole, mapper);
  base::require(whole.volume() > 0 && source.columns == whole[-1] && source.rows == whole.volume() / whole[-1],
                "[from_host] {} values are required; received {} x {}", whole, source.rows, source.columns);
  write_rows(tensor, rows_for(parts, [&](const MeshPart& part) {
               return pick_rows(
                   source, part.shape.volume() / part.shape[-1],
                   [part](std::int64_t row) { return part.row_in_whole(row); }, part.first[-1], part.shape[-1]);
             }));
}

void write_transposed(const Tensor& tensor, const HostRows& source, const Shape& whole, const MeshMapper& mapper) {
  const std::vector<MeshPart> parts = parts_for("from_host_transposed", tensor, whole, mapper);
  base::require(whole.rank() >= 2 && source.rows == whole[-1] && source.columns == whole[-2],
                "[from_host_transposed] a matrix {} is required with rows and columns exchanged; received {} x {}",
                whole, source.rows, source.columns);
  for (int dim = 0; dim < static_cast<int>(whole.rank()) - 2; ++dim) {
    base::require(parts.back().first[dim] == 0,
                  "[from_host_transposed] only the last two dimensions may be cut; the mapper cuts dimension {} of {}",
                  dim, whole);
  }
  write_transposed(tensor, rows_for(parts, [&](const MeshPart& part) {
                     return slice(source, part.first[-1], part.shape[-1], part.first[-2], part.shape[-2]);
                   }));
}

void write(const Tensor& tensor, std::vector<std::int32_t> values, const Shape& whole, const MeshMapper& mapper) {
  write(tensor, std::move(values), parts_for("write", tensor, whole, mapper));
}

Read<HostTensor> begin_read(const Tensor& tensor, const MeshComposer& composer) {
  return begin_read(tensor, chip_parts(tensor, composer));
}

Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, const MeshComposer& composer) {
  return begin_read_integers(tensor, chip_parts(tensor, composer));
}

HostTensor to_host(const Tensor& tensor, const MeshComposer& composer) {
  return begin_read(tensor, composer).get();
}

std::vector<std::int32_t> to_host_integers(const Tensor& tensor, const MeshComposer& composer) {
  return begin_read_integers(tensor, composer).get();
}

} // namespace tessera::tensor
