#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/spec/op_record.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::ops {

using tensor::DeviceView;
using tensor::Tensor;

/// An argument of an op under the name that its record gives it.
struct Operand {
  std::string_view name;
  const Tensor& tensor;
};

using Operands = std::span<const Operand>;

using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

/// What an op's record says beyond its operands. The bytes moved are filled in from the operands, each read or written
/// once in whole, unless `work` already counts some (caches, tables: of which an op touches a part).
struct OpDetails {
  Attributes attributes;
  OpWork work;
  std::shared_ptr<const Decomposition> decomposition;
};
OpRecord describe(Operands inputs, Operands outputs, OpDetails details);

/// What the card's program cache tells programs apart by: the op's name, its options (0 for none) and its operands'
/// specs.
std::uint64_t program_key(std::string_view name, std::uint64_t options, Operands inputs, Operands outputs);

/// Of the options by which programs differ, for Program::key.
std::uint64_t options_key(const ComputeConfig& compute, std::initializer_list<std::int64_t> others = {});

/// Throws InvalidArgument for an output whose host memory other chips or devices read.
void require_own_memory(std::string_view op, Operands outputs);

/// Holds a program's circular buffers against L1, as the card does when it is given a program, and returns their bytes:
/// those of an empty L1 where they fit below the tensors, else with blocks for the room that is there. `record`
/// describes the op, and is asked the first time that its program is met, and whenever room is short. Throws
/// OutOfMemory, which shows what lies in L1, when they reach a tensor all the same, or are larger than L1.
std::int64_t require_l1(runtime::MeshDevice& device, const runtime::Program& program,
                        const std::function<OpRecord()>& record);

/// Queues an op's program (name, stages, scratch_bytes, as key its options_key) on the current queue. `make_details`
/// returns the OpDetails and is called, here, only when somebody wants the record.
template <typename MakeDetails>
void launch(runtime::MeshDevice& device, runtime::Program program, Operands inputs, Operands outputs,
            MakeDetails&& make_details) {
  require_own_memory(program.name, outputs);
  program.key = program_key(program.name, program.key, inputs, outputs);
  program.scope = device.scope();
  const auto record = [&] { return describe(inputs, outputs, make_details()); };
  program.circular_buffer_bytes = require_l1(device, program, std::cref(record));
  device.queue().enqueue(std::move(program), record);
}
template <typename MakeDetails>
void launch(runtime::MeshDevice& device, runtime::Program program, std::initializer_list<Operand> inputs,
            std::initializer_list<Operand> outputs, MakeDetails&& make_details) {
  launch(device, std::move(program), Operands(inputs.begin(), inputs.size()), Operands(outputs.begin(), outputs.size()),
         std::forward<MakeDetails>(make_details));
}

/// A stage over the rows of a TILE tensor's matrices: body(chip, matrix, row) for each row of the logical shape. Rows
/// of the padding are cleared.
runtime::Stage for_each_row(const Tensor& output,
                            std::function<void(std::int64_t chip, std::int64_t matrix, std::int64_t row)> body);

/// A tile of a tensor, and how many of its rows are not padding.
struct TileAt {
  std::int64_t matrix;
  std::int64_t row;
  std::int64_t column;
  std::int64_t rows;
};
/// The tiles of a tensor of `spec`, numbered in the order of memory.
class TileOrder {
 public:
  explicit TileOrder(const TensorSpec& spec);
  std::int64_t count() const { return count_; }
  /// The inverse of TensorSpec::tile_index.
  TileAt at(std::int64_t number) const;

 private:
  std::int64_t height_;
  std::int64_t bands_;
  std::int64_t columns_;
  std::int64_t count_;
};
/// A stage over the tiles of a tensor of `spec`, body(unit, tile), in the order of memory: along a row the next tile is
/// a power of two away, and the lines of a row would drive each other out of the cache.
runtime::Stage for_each_tile(const TensorSpec& spec,
                             std::function<void(const runtime::Unit& unit, const TileAt& tile)> body);
/// The first `rows` rows of a tile as [rows, 32].
void load_tile_rows(const kernels::ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                    std::int64_t rows, float* out);

/// Throws InvalidArgument naming the op and the argument unless it holds.
void require_tile(std::string_view op, std::string_view argument, const Tensor& tensor);
void require_shape(std::string_view op, std::string_view argument, const Tensor& tensor, const Shape& shape);
/// INT32 in ROW_MAJOR: positions and page tables.
void require_integers(std::string_view op, std::string_view argument, const Tensor& tensor, const Shape& shape);
/// The format asked for an output: floating-point, since kernels compute in fp32.
void require_float(std::string_view op, DataType dtype);
void require_same_device(std::string_view op, std::initializer_list<Operand> operands);

} // namespace tessera::ops
