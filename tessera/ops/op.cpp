#include "tessera/ops/op.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/perfmodel/circular_buffers.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

// Rows of one unit: enough to outweigh handing it out, few enough that two threads share the 32 rows of a decode step.
constexpr std::int64_t kRowsOfUnit = 4;
// Elements of one unit of tiles: enough to outweigh handing it out.
constexpr std::int64_t kElementsOfUnit = 4096;

/// For messages. It costs as much as all else that an op does on the host: only where a check has failed.
std::string received(const Tensor& tensor) {
  return tensor.defined() ? to_string(tensor.spec()) : "none";
}

} // namespace

OpRecord describe(Operands inputs, Operands outputs, OpDetails details) {
  base::require<base::DeviceError>(details.decomposition != nullptr,
                                   "an op must say what the card's units compute; it has no decomposition");
  const OpWork work = details.work;
  OpRecord record{
      .attributes = std::move(details.attributes), .work = work, .decomposition = std::move(details.decomposition)};
  const bool count_bytes = work.dram_read_bytes == 0 && work.dram_write_bytes == 0 && work.l1_bytes == 0;
  const auto count = [&](const Tensor& tensor, std::int64_t OpWork::*dram_bytes) {
    if (!count_bytes) return;
    const bool in_dram = tensor.memory_config().buffer_type == BufferType::DRAM;
    record.work.*(in_dram ? dram_bytes : &OpWork::l1_bytes) += tensor.spec().size_bytes();
  };
  for (const auto& [name, tensor] : inputs) {
    if (!tensor.defined()) continue;
    record.inputs.push_back(tensor.record(name));
    count(tensor, &OpWork::dram_read_bytes);
  }
  for (const auto& [name, tensor] : outputs) {
    record.outputs.push_back(tensor.record(name));
    count(tensor, &OpWork::dram_write_bytes);
  }
  return record;
}

namespace {

std::uint64_t mixed(std::uint64_t key, std::int64_t value) {
  key = (key ^ static_cast<std::uint64_t>(value)) * 0x9E3779B97F4A7C15U; // Fibonacci hashing
  return key ^ key >> 32;
}

} // namespace

std::uint64_t options_key(const ComputeConfig& compute, std::initializer_list<std::int64_t> others) {
  std::uint64_t key =
      mixed(0, static_cast<std::int64_t>(compute.math_fidelity) << 3 | int{compute.math_approx_mode} << 2 |
                   int{compute.fp32_dest_acc_en} << 1 | int{compute.packer_l1_acc});
  for (const std::int64_t value : others) key = mixed(key, value);
  return key;
}

std::uint64_t program_key(std::string_view name, std::uint64_t options, Operands inputs, Operands outputs) {
  std::uint64_t key = std::hash<std::string_view>{}(name) ^ options;
  const auto mix = [&key](std::int64_t value) { key = mixed(key, value); };
  for (const auto& operands : {inputs, outputs}) {
    for (const Operand& operand : operands) {
      mix(operand.tensor.defined());
      if (!operand.tensor.defined()) continue;
      const TensorSpec& spec = operand.tensor.spec();
      for (const std::int64_t extent : spec.shape.extents()) mix(extent);
      const MemoryConfig& place = spec.memory_config;
      mix(static_cast<std::int64_t>(spec.dtype) << 12 | static_cast<std::int64_t>(spec.layout) << 8 |
          static_cast<std::int64_t>(place.memory_layout) << 4 | static_cast<std::int64_t>(place.buffer_type));
      if (const auto& shard = place.shard_spec) {
        mix(shard->grid_rows << 33 | shard->grid_columns << 1 | static_cast<std::int64_t>(shard->orientation));
        mix(shard->shard_height << 32 | shard->shard_width);
      }
    }
  }
  return key;
}

namespace {

/// What lies in L1, from the bottom up.
std::string l1_map(std::span<const perfmodel::CircularBuffer> buffers, const runtime::BankAllocator& l1) {
  constexpr std::size_t kMostTensors = 8;
  std::string map = fmt::format("circular buffers from {}", l1.layout().begin);
  for (const perfmodel::CircularBuffer& buffer : buffers) map += fmt::format(" | {}", perfmodel::to_string(buffer));
  map += "; tensors";
  std::size_t shown = 0;
  for (const auto& [address, tensor] : l1.allocations()) {
    if (++shown > kMostTensors) return fmt::format("{} | {} more above", map, l1.allocations().size() - kMostTensors);
    map += fmt::format(" | {}: {} bytes at {}", tensor.label.name, tensor.bytes_per_bank, address);
  }
  return map + fmt::format(" | end of L1 at {}", l1.layout().end);
}

} // namespace

std::int64_t require_l1(runtime::MeshDevice& device, const runtime::Program& program,
                        const std::function<OpRecord()>& record) {
  const ArchSpec& arch = device.board().arch;
  const auto buffers_within = [&](std::int64_t room) {
    OpRecord of_program = record();
    of_program.name = program.name;
    return perfmodel::circular_buffers(of_program, arch, room);
  };
  const auto bytes_within = [&](std::int64_t room) {
    auto& known = device.circular_buffer_bytes();
    const std::uint64_t key = mixed(program.key, room);
    auto bytes = known.find(key);
    if (bytes == known.end()) bytes = known.emplace(key, perfmodel::l1_bytes(buffers_within(room))).first;
    return bytes->second;
  };
  const runtime::BankAllocator& l1 = device.allocator(BufferType::L1);
  runtime::MeshDevice::L1Fill fill{
      .circular_buffer_bytes = bytes_within(arch.l1_bytes_per_core - arch.l1_reserved_bytes_per_core),
      .tensor_bytes = device.l1_tensor_bytes()};
  const std::int64_t room = l1.layout().end - l1.layout().begin - fill.tensor_bytes;
  if (fill.circular_buffer_bytes > room) fill.circular_buffer_bytes = bytes_within(room);
  device.note_l1(fill, program);
  if (fill.circular_buffer_bytes <= room) return fill.circular_buffer_bytes;
  throw base::OutOfMemory(fmt::format(
      "[{}] the circular buffers of a core must end below the tensors in its L1; they take {} bytes, up to {}, and {}; "
      "in L1: {}; {}",
      place_of(program), fill.circular_buffer_bytes, l1.layout().begin + fill.circular_buffer_bytes,
      fill.tensor_bytes == 0 ? fmt::format("L1 ends at {}", l1.layout().end)
                             : fmt::format("the lowest tensor lies at {}", l1.layout().end - fill.tensor_bytes),
      l1_map(buffers_within(room), l1),
      fill.tensor_bytes == 0
          ? "take a smaller format (bfloat8_b, --precision bfp8), or fewer rows at a time (--batch, --prompt-length)"
          : "free tensors that are not needed any more, put them into DRAM (memory_config), shard them over more "
            "cores, or take a smaller format (bfloat8_b, --precision bfp8), a smaller batch, or more chips (--tp)"));
}

void require_own_memory(std::string_view op, Operands outputs) {
  for (const auto& [name, tensor] : outputs) {
    base::require(!tensor.is_shared(),
                  "[{}] {} must have memory of its own to be written; received {}, which other chips or devices read; "
                  "copy it first",
                  op, name, tensor.spec());
  }
}

runtime::Stage for_each_row(const Tensor& output, std::function<void(std::int64_t, std::int64_t, std::int64_t)> body) {
  const TensorSpec& spec = output.spec();
  const std::int64_t rows = spec.shape[-2];
  const std::int64_t units = div_up(rows, kRowsOfUnit);
  return {spec.num_matrices() * units,
          [view = output.view(), body = std::move(body), rows, units](const runtime::Unit& unit) {
            const std::int64_t matrix = unit.index / units;
            const std::int64_t first = unit.index % units * kRowsOfUnit;
            const std::int64_t last = std::min(first + kRowsOfUnit, rows);
            for (std::int64_t row = first; row < last; ++row) body(unit.chip, matrix, row);
            if (last == rows && rows % kTileHeight != 0)
              kernels::kernels().clear_rows(view.tiles(unit.chip, matrix), rows);
          }};
}

TileOrder::TileOrder(const TensorSpec& spec)
    : height_(spec.shape[-2]),
      bands_(spec.tile_rows()),
      columns_(spec.tile_columns()),
      count_(spec.num_matrices() * bands_ * columns_) {}

TileAt TileOrder::at(std::int64_t number) const {
  const std::int64_t tiles = bands_ * columns_;
  const std::int64_t first = number % tiles / (2 * bands_) * 2;
  const std::int64_t step = tile_step(columns_, first);
  const std::int64_t inside = number % tiles - first * bands_;
  const std::int64_t row = inside / step;
  return {.matrix = number / tiles,
          .row = row,
          .column = first + inside % step,
          .rows = std::min(kTileHeight, height_ - row * kTileHeight)};
}

runtime::Stage for_each_tile(const TensorSpec& spec, std::function<void(const runtime::Unit&, const TileAt&)> body) {
  const TileOrder tiles(spec);
  const std::int64_t of_unit =
      std::max<std::int64_t>(1, kElementsOfUnit / (std::min(spec.shape[-2], kTileHeight) * kTileWidth));
  return {div_up(tiles.count(), of_unit), [body = std::move(body), tiles, of_unit](const runtime::Unit& unit) {
            const std::int64_t last = std::min((unit.index + 1) * of_unit, tiles.count());
            for (std::int64_t i = unit.index * of_unit; i < last; ++i) body(unit, tiles.at(i));
          }};
}

void load_tile_rows(const kernels::ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                    std::int64_t rows, float* out) {
  const kernels::Kernels& isa = kernels::kernels();
  if (rows == kTileHeight) return isa.load_tile(tiles, tile_row, tile_column, out);
  for (std::int64_t row = 0; row < rows; ++row)
    isa.load_row(tiles, tile_row * kTileHeight + row, tile_column * kTileWidth, kTileWidth, out + row * kTileWidth);
}

void require_tile(std::string_view op, std::string_view argument, const Tensor& tensor) {
  if (tensor.defined() && tensor.layout() == Layout::TILE && !is_integer(tensor.dtype()) && tensor.shape().rank() >= 2)
    return;
  throw base::InvalidArgument(
      fmt::format("[{}] {} must be a floating-point tensor of rank 2 or more in TILE layout; received {}", op, argument,
                  received(tensor)));
}

void require_shape(std::string_view op, std::string_view argument, const Tensor& tensor, const Shape& shape) {
  if (tensor.defined() && tensor.shape() == shape) return;
  throw base::InvalidArgument(
      fmt::format("[{}] {} must have the shape {}; received {}", op, argument, shape, received(tensor)));
}

void require_integers(std::string_view op, std::string_view argument, const Tensor& tensor, const Shape& shape) {
  if (tensor.defined() && tensor.dtype() == DataType::INT32 && tensor.layout() == Layout::ROW_MAJOR &&
      tensor.shape() == shape)
    return;
  throw base::InvalidArgument(
      fmt::format("[{}] {} must be INT32 {} in ROW_MAJOR; received {}", op, argument, shape, received(tensor)));
}

void require_float(std::string_view op, DataType dtype) {
  base::require(!is_integer(dtype), "[{}] dtype must be a floating-point format; received {}", op, to_string(dtype));
}

void require_same_device(std::string_view op, std::initializer_list<Operand> operands) {
  const runtime::MeshDevice* device = nullptr;
  for (const auto& [name, tensor] : operands) {
    if (!tensor.defined()) continue;
    base::require(device == nullptr || device == &tensor.device(),
                  "[{}] all tensors must lie on one device; {} lies on another", op, name);
    device = &tensor.device();
  }
}

} // namespace tessera::ops
