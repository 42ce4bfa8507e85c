#include "tessera/tensor/transfer.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/runtime/exchange.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"
#include "tessera/tensor/mapped_rows.hpp"
#include "tessera/tensor/operand_rows.hpp"

namespace tessera::tensor {
namespace {

using runtime::Program;
using runtime::ProgramKind;
using runtime::Stage;
using runtime::Unit;

// A unit of from_host_transposed is a column of tiles: 32 host rows, read in runs of this many values, which stay in
// the first-level cache while they are transposed.
constexpr std::int64_t kRun = 4 * kTileHeight;
// A unit of bfloat16 rows: so many bytes, for long runs of reading on each thread.
constexpr std::int64_t kSourcePiece = std::int64_t{2} << 20;
// A unit of zeros: one sequential run of bytes for a thread.
constexpr std::int64_t kPiece = std::int64_t{1} << 20;

/// Rows and width when all but the last dimension are folded.
std::int64_t width_of(const TensorSpec& spec) {
  return spec.shape[-1];
}
std::int64_t rows_in(const TensorSpec& spec) {
  return spec.shape.volume() / width_of(spec);
}
/// Rows of one matrix of a TILE tensor.
std::int64_t matrix_rows(const TensorSpec& spec) {
  return spec.shape.rank() >= 2 ? spec.shape[-2] : 1;
}

void store_row_major(const DeviceView& view, std::int64_t chip, std::int64_t row, const float* values,
                     std::int64_t count) {
  if (view.dtype() == DataType::BFLOAT16) {
    auto* out = view.elements<std::uint16_t>(chip) + row * count;
    for (std::int64_t i = 0; i < count; ++i) out[i] = numerics::to_bfloat16(values[i]);
  } else {
    std::memcpy(view.elements<float>(chip) + row * count, values, static_cast<std::size_t>(count) * sizeof(float));
  }
}

/// bfloat16 to bfloat16 as rounding does it: NaN becomes 0x7FC0.
void copy_bf16(const std::byte* in, std::int64_t count, std::uint16_t* out) {
  std::memcpy(out, in, static_cast<std::size_t>(count) * sizeof(std::uint16_t));
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = (out[i] & 0x7FFF) > 0x7F80 ? std::uint16_t{0x7FC0} : out[i];
  }
}

/// `count` elements of a ROW_MAJOR tensor, from number `first` on.
void load_row_major(const DeviceView& view, std::int64_t chip, std::int64_t first, std::int64_t count, float* values) {
  switch (view.dtype()) {
    case DataType::BFLOAT16: {
      const auto* in = view.elements<std::uint16_t>(chip) + first;
      for (std::int64_t i = 0; i < count; ++i) values[i] = numerics::from_bfloat16(in[i]);
      break;
    }
    case DataType::FLOAT32:
      std::memcpy(values, view.elements<float>(chip) + first, static_cast<std::size_t>(count) * sizeof(float));
      break;
    default: {
      const auto* in = view.elements<std::int32_t>(chip) + first;
      for (std::int64_t i = 0; i < count; ++i) {
        values[i] = view.dtype() == DataType::UINT32 ? static_cast<float>(std::bit_cast<std::uint32_t>(in[i]))
                                                     : static_cast<float>(in[i]);
      }
    }
  }
}

/// Whether `source` can be had as bfloat16 and a tile of `dtype` is made from that without fp32 in between.
bool converts_bf16(const HostRows& source, DataType dtype) {
  return source.bf16_row != nullptr && (dtype == DataType::BFLOAT16 || is_block_float(dtype));
}

/// Rows [first, last) of `source`, those of a unit of work; `scratch` has room for all of them.
std::vector<const std::byte*> bf16_rows(const HostRows& source, std::int64_t first, std::int64_t last,
                                        std::byte* scratch) {
  std::vector<const std::byte*> rows;
  for (std::int64_t row = first; row < last; ++row) {
    rows.push_back(source.bf16_row(row, scratch + (row - first) * source.columns * 2));
  }
  return rows;
}

/// Rows that one unit takes: `step` or a multiple.
std::int64_t rows_of_unit(const HostRows& source, std::int64_t step) {
  return step * std::max<std::int64_t>(1, kSourcePiece / (step * source.columns * 2));
}

std::span<std::byte> byte_scratch(std::int64_t bytes) {
  float* const memory = runtime::thread_scratch(div_up(bytes, std::int64_t{sizeof(float)}));
  return {reinterpret_cast<std::byte*>(memory), static_cast<std::size_t>(bytes)};
}

/// from_host for a ROW_MAJOR tensor of bfloat16, from bfloat16.
Stage copy_bf16_rows(const DeviceView& view, const MeshRows& sources) {
  const std::int64_t step = rows_of_unit(sources[0], 1);
  return {div_up(sources[0].rows, step), [view, sources, step](const Unit& unit) {
            const HostRows& source = sources[unit.chip];
            const std::int64_t first = unit.index * step;
            const std::int64_t last = std::min(first + step, source.rows);
            const auto scratch = byte_scratch((last - first) * source.columns * 2);
            const auto rows = bf16_rows(source, first, last, scratch.data());
            const MappedRows pages(source.mapped, rows, source.columns * 2, scratch);
            for (std::int64_t row = first; row < last; ++row) {
              copy_bf16(rows[static_cast<std::size_t>(row - first)], source.columns,
                        view.elements<std::uint16_t>(unit.chip) + row * source.columns);
            }
          }};
}

/// from_host_transposed from bfloat16: a unit is some columns of tiles.
Stage convert_bf16_columns(const DeviceView& view, const MeshRows& sources) {
  const std::int64_t step = rows_of_unit(sources[0], kTileWidth);
  return {div_up(sources[0].rows, step), [view, sources, step](const Unit& unit) {
            const HostRows& source = sources[unit.chip];
            const std::int64_t first = unit.index * step;
            const std::int64_t last = std::min(first + step, source.rows);
            const auto scratch = byte_scratch((last - first) * source.columns * 2);
            const auto rows = bf16_rows(source, first, last, scratch.data());
            const MappedRows pages(source.mapped, rows, source.columns * 2, scratch);
            for (std::int64_t row = first; row < last; row += kTileWidth) {
              kernels::kernels().convert_tile_column(rows.data() + (row - first), std::min(kTileWidth, last - row),
                                                     source.columns, view.tiles(unit.chip), row / kTileWidth);
            }
          }};
}

/// The first `count` elements of row `row`, all matrices counted, as fp32.
void decode_row(const DeviceView& view, const TensorSpec& spec, std::int64_t chip, std::int64_t row, std::int64_t count,
                float* out) {
  if (spec.layout == Layout::TILE) {
    const std::int64_t height = matrix_rows(spec);
    kernels::kernels().load_row(view.tiles(chip, row / height), row % height, 0, count, out);
  } else {
    load_row_major(view, chip, row * width_of(spec), count, out);
  }
}

HostTensor room_for(const Shape& shape) {
  return {shape, std::vector<float>(static_cast<std::size_t>(shape.volume()))};
}

void require_data(const runtime::MeshDevice& device) {
  base::require<base::Unsupported>(device.mode() == runtime::RunMode::EXECUTE,
                                   "[to_host] a device in execute mode is required; a recording device holds no data");
}

void enqueue_transfer(const Tensor& tensor, ProgramKind kind, Stage stage, runtime::Messages exchange = {}) {
  const bool write = kind == ProgramKind::WRITE;
  Program program{.name = write ? "from_host" : "to_host",
                  .kind = kind,
                  .exchange = std::move(exchange),
                  .scope = tensor.device().scope()};
  program.stages.push_back(std::move(stage));
  tensor.device().queue().enqueue(std::move(program), [&] {
    return write ? OpRecord{.outputs = {tensor.record("output")}} : OpRecord{.inputs = {tensor.record("input")}};
  });
}

/// Chips that write their bytes: of those of this rank that share a block, the first.
std::vector<bool> writers(const Tensor& tensor) {
  const runtime::MeshDevice& device = tensor.device();
  std::vector<bool> result;
  std::vector<bool> written(static_cast<std::size_t>(device.chips()), false);
  for (std::int64_t chip = 0; chip < device.chips(); ++chip) {
    const auto block = static_cast<std::size_t>(tensor.sharing().block(chip));
    result.push_back(device.is_local(chip) && !written[block]);
    if (result.back()) written[block] = true;
  }
  return result;
}

void enqueue_write(const Tensor& tensor, Stage stage) {
  base::require(!tensor.is_alias(),
                "[write] a tensor with bytes of its own is required; {} shares another device's; "
                "write the original",
                to_string(tensor.spec()));
  if (tensor.is_shared()) {
    stage.body = [body = std::move(stage.body), write = writers(tensor)](const Unit& unit) {
      if (write[static_cast<std::size_t>(unit.chip)]) body(unit);
    };
  }
  enqueue_transfer(tensor, ProgramKind::WRITE, std::move(stage));
}

void enqueue_write(const Tensor& tensor, std::int64_t units, std::function<void(const Unit&)> body) {
  enqueue_write(tensor, Stage{units, std::move(body)});
}

void require_part(std::string_view function, const Tensor& tensor, const MeshPart& part) {
  base::require(part.shape == tensor.shape(), "[{}] a part of the tensor's shape {} is required; received {}", function,
                tensor.shape(), part.shape);
}

void require_readable(const Tensor& tensor, std::span<const ChipPart> parts) {
  require_data(tensor.device());
  for (const ChipPart& part : parts) {
    base::require(0 <= part.chip && part.chip < tensor.device().chips(), "[to_host] chip must be in 0..{}; received {}",
                  tensor.device().chips() - 1, part.chip);
    require_part("to_host", tensor, part.part);
  }
}

/// A row of a chip's tensor that goes to the host: its first `count` elements, to element number `to`.
struct RowRead {
  std::int64_t chip;
  std::int64_t row;
  std::int64_t count;
  std::int64_t to;
};

/// Queues body(row) for each row of the parts that is not padding, `of_unit` rows to a unit of work.
void enqueue_read(const Tensor& tensor, const std::vector<ChipPart>& parts, std::int64_t of_unit,
                  std::function<void(const RowRead&)> body) {
  const std::int64_t rows = rows_in(tensor.spec());
  runtime::Exchange exchange(tensor.device(), tensor.host_bytes(), tensor.spec().size_bytes());
  for (const ChipPart& part : parts) exchange.bring_to_all(part.chip);
  Stage stage{.units = div_up(rows, of_unit),
              .body =
                  [=, body = std::move(body)](const Unit& unit) {
                    const auto found = std::ranges::find(parts, unit.chip, &ChipPart::chip);
                    if (found == parts.end()) return;
                    const MeshPart& part = found->part;
                    const std::int64_t last = std::min((unit.index + 1) * of_unit, rows);
                    for (std::int64_t row = unit.index * of_unit; row < last; ++row) {
                      const std::int64_t to = part.row_in_whole(row);
                      if (to < 0) continue;
                      body({unit.chip, row, part.inside(-1), to * part.whole[-1] + part.first[-1]});
                    }
                  },
              .of_all_chips = true};
  enqueue_transfer(tensor, ProgramKind::READ, std::move(stage), exchange.take());
}

void require_extents(const HostRows& source, std::int64_t rows, std::int64_t columns, const TensorSpec& spec) {
  base::require(source.rows == rows && source.columns == columns,
                "[from_host] {} x {} values are required for {}; received {} x {}", rows, columns, to_string(spec),
                source.rows, source.columns);
  base::require(!is_integer(spec.dtype), "[from_host] a floating-point dtype is required; received {}",
                to_string(spec.dtype));
}

void require_transposed_extents(const HostRows& source, const TensorSpec& spec) {
  base::require(spec.layout == Layout::TILE && spec.num_matrices() == 1 && spec.shape.rank() >= 2,
                "[from_host_transposed] one TILE matrix is required; received {}", to_string(spec));
  require_extents(source, spec.shape[-1], spec.shape[-2], spec);
}

} // namespace

Tensor from_host(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec, std::string_view name) {
  validate(spec);
  require_extents(source, rows_in(spec), width_of(spec), spec);
  Tensor result = Tensor::allocate(device, spec, name);
  write_rows(result, source);
  return result;
}

void write_rows(const Tensor& tensor, const MeshRows& source) {
  const TensorSpec& spec = tensor.spec();
  const std::int64_t width = width_of(spec);
  require_extents(source[0], rows_in(spec), width, spec);
  const DeviceView view = tensor.view();
  if (spec.layout == Layout::ROW_MAJOR && spec.dtype == DataType::BFLOAT16 && source[0].bf16_row != nullptr) {
    enqueue_write(tensor, copy_bf16_rows(view, source));
  } else if (spec.layout == Layout::ROW_MAJOR) {
    enqueue_write(tensor, source[0].rows, [view, source, width](const Unit& unit) {
      float* const values = runtime::thread_scratch(width);
      source[unit.chip].read(unit.index, 0, width, values);
      store_row_major(view, unit.chip, unit.index, values, width);
    });
  } else {
    const std::int64_t height = matrix_rows(spec);
    const std::int64_t padded = spec.tile_rows() * kTileHeight;
    enqueue_write(tensor, spec.num_matrices() * padded, [view, source, width, height, padded](const Unit& unit) {
      const std::int64_t matrix = unit.index / padded;
      const std::int64_t row = unit.index % padded;
      float* const values = runtime::thread_scratch(width);
      if (row < height) source[unit.chip].read(matrix * height + row, 0, width, values);
      kernels::kernels().store_row(view.tiles(unit.chip, matrix), row, values, row < height ? width : 0);
    });
  }
}

Tensor from_host_transposed(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec,
                            std::string_view name) {
  validate(spec);
  require_transposed_extents(source, spec);
  Tensor result = Tensor::allocate(device, spec, name);
  write_transposed(result, source);
  return result;
}

void write_transposed(const Tensor& tensor, const MeshRows& source) {
  const TensorSpec& spec = tensor.spec();
  require_transposed_extents(source[0], spec);
  const DeviceView view = tensor.view();
  if (converts_bf16(source[0], spec.dtype)) {
    enqueue_write(tensor, convert_bf16_columns(view, source));
    return;
  }
  enqueue_write(tensor, spec.tile_columns(),
                [view, source, rows = source[0].rows, depth = source[0].columns](const Unit& unit) {
                  const kernels::Kernels& isa = kernels::kernels();
                  const auto& read = source[unit.chip].read;
                  const kernels::Tiles tiles = view.tiles(unit.chip);
                  const std::int64_t first_row = unit.index * kTileWidth;
                  const std::int64_t lanes = std::min(kTileWidth, rows - first_row);
                  float* const strip = runtime::thread_scratch(kTileWidth * kRun + kTileElements);
                  float* const tile = strip + kTileWidth * kRun;
                  for (std::int64_t begin = 0; begin < depth; begin += kRun) {
                    const std::int64_t count = std::min(kRun, depth - begin);
                    std::fill_n(strip, kTileWidth * kRun, 0.0F);
                    for (std::int64_t lane = 0; lane < lanes; ++lane)
                      read(first_row + lane, begin, count, strip + lane * kRun);
                    for (std::int64_t offset = 0; offset < count; offset += kTileHeight) {
                      for (std::int64_t k = 0; k < kTileHeight; ++k) {
                        for (std::int64_t lane = 0; lane < kTileWidth; ++lane)
                          tile[k * kTileWidth + lane] = strip[lane * kRun + offset + k];
                      }
                      isa.store_tile(tiles, (begin + offset) / kTileHeight, unit.index, kTileHeight, tile, kTileWidth);
                    }
                  }
                });
}

Tensor from_host(runtime::MeshDevice& device, std::vector<std::int32_t> values, const TensorSpec& spec,
                 std::string_view name) {
  base::require(is_integer(spec.dtype) && spec.layout == Layout::ROW_MAJOR,
                "[from_host] an integer dtype in ROW_MAJOR is required; received {}", to_string(spec));
  Tensor result = Tensor::allocate(device, spec, name);
  write(result, std::move(values));
  return result;
}

void write(const Tensor& tensor, std::vector<std::int32_t> values) {
  write(tensor, std::move(values), {MeshPart::all_of(tensor.shape())});
}

void write(const Tensor& tensor, std::vector<std::int32_t> values, std::vector<MeshPart> parts) {
  base::require(
      is_integer(tensor.dtype()) && tensor.layout() == Layout::ROW_MAJOR &&
          static_cast<std::int64_t>(values.size()) == parts.front().whole.volume(),
      "[write] a ROW_MAJOR tensor of integers and the {} values of {} are required; received {} and {} values",
      parts.front().whole.volume(), parts.front().whole, to_string(tensor.spec()), values.size());
  for (const MeshPart& part : parts) require_part("write", tensor, part);
  enqueue_write(tensor, 1, [view = tensor.view(), values = std::move(values), parts](const Unit& unit) {
    const MeshPart& part = parts[parts.size() == 1 ? 0 : static_cast<std::size_t>(unit.chip)];
    const std::int64_t width = part.shape[-1];
    const std::int64_t inside = part.inside(-1);
    auto* out = view.elements<std::int32_t>(unit.chip);
    for (std::int64_t row = 0; row < part.shape.volume() / width; ++row, out += width) {
      const std::int64_t from = part.row_in_whole(row);
      const std::int64_t count = from < 0 ? 0 : inside;
      std::copy_n(values.data() + (count == 0 ? 0 : from * part.whole[-1] + part.first[-1]), count, out);
      std::fill(out + count, out + width, 0);
    }
  });
}

Tensor zeros(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name) {
  Tensor result = Tensor::allocate(device, spec, name);
  // All formats write zero as zero bytes.
  const std::int64_t bytes = spec.size_bytes();
  enqueue_write(result, div_up(bytes, kPiece), [view = result.view(), bytes](const Unit& unit) {
    const std::int64_t first = unit.index * kPiece;
    std::memset(view.bytes(unit.chip) + first, 0, static_cast<std::size_t>(std::min(kPiece, bytes - first)));
  });
  return result;
}

Read<HostTensor> begin_read(const Tensor& tensor, std::int64_t chip) {
  return begin_read(tensor, {{chip, MeshPart::all_of(tensor.shape())}});
}

Read<HostTensor> begin_read(const Tensor& tensor, std::vector<ChipPart> parts) {
  require_readable(tensor, parts);
  const auto value = std::make_shared<HostTensor>(room_for(parts.front().part.whole));
  const TensorSpec& spec = tensor.spec();
  const std::int64_t of_unit = std::max<std::int64_t>(1, kPiece / (width_of(spec) * 4));
  enqueue_read(tensor, parts, of_unit, [=, view = tensor.view()](const RowRead& read) {
    decode_row(view, spec, read.chip, read.row, read.count, value->data.data() + read.to);
  });
  return {tensor.device().shared_from_this(), value};
}

Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, std::int64_t chip) {
  return begin_read_integers(tensor, {{chip, MeshPart::all_of(tensor.shape())}});
}

Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, std::vector<ChipPart> parts) {
  require_readable(tensor, parts);
  base::require(is_integer(tensor.dtype()) && tensor.layout() == Layout::ROW_MAJOR,
                "[to_host_integers] an integer dtype in ROW_MAJOR is required; received {}", to_string(tensor.spec()));
  const std::int64_t width = width_of(tensor.spec());
  const auto value =
      std::make_shared<std::vector<std::int32_t>>(static_cast<std::size_t>(parts.front().part.whole.volume()));
  enqueue_read(tensor, parts, rows_in(tensor.spec()), [=, view = tensor.view()](const RowRead& read) {
    std::copy_n(view.elements<std::int32_t>(read.chip) + read.row * width, read.count, value->data() + read.to);
  });
  return {tensor.device().shared_from_this(), value};
}

HostTensor to_host(const Tensor& tensor, std::int64_t chip) {
  return begin_read(tensor, chip).get();
}

std::vector<std::int32_t> to_host_integers(const Tensor& tensor, std::int64_t chip) {
  return begin_read_integers(tensor, chip).get();
}

namespace {

DeviceView view_of(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip) {
  require_data(device);
  base::require<base::Unsupported>(device.is_local(chip),
                                   "[read_operand] a chip of this rank is required; received {}, which is of rank {}",
                                   chip, device.rank_of(chip));
  return {device.host_bytes(operand.spec.memory_config.buffer_type, operand.address), operand.spec};
}

} // namespace

HostTensor read_operand(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip) {
  const DeviceView view = view_of(device, operand, chip);
  const std::int64_t width = width_of(operand.spec);
  HostTensor result = room_for(operand.spec.shape);
  for (std::int64_t row = 0; row < rows_in(operand.spec); ++row)
    decode_row(view, operand.spec, chip, row, width, result.data.data() + row * width);
  return result;
}

std::vector<float> read_operand_rows(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip,
                                     std::span<const std::int64_t> rows) {
  const DeviceView view = view_of(device, operand, chip);
  const auto width = static_cast<std::size_t>(width_of(operand.spec));
  std::vector<float> values(rows.size() * width);
  for (std::size_t i = 0; i < rows.size(); ++i)
    decode_row(view, operand.spec, chip, rows[i], static_cast<std::int64_t>(width), values.data() + i * width);
  return values;
}

std::vector<std::int32_t> read_operand_integers(const runtime::MeshDevice& device, const OperandRecord& operand,
                                                std::int64_t chip) {
  const TensorSpec& spec = operand.spec;
  base::require(is_integer(spec.dtype) && spec.layout == Layout::ROW_MAJOR,
                "[read_operand_integers] an integer dtype in ROW_MAJOR is required; received {}", to_string(spec));
  const std::int32_t* const values = view_of(device, operand, chip).elements<std::int32_t>(chip);
  return {values, values + spec.shape.volume()};
}

} // namespace tessera::tensor
