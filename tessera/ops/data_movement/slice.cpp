#include "tessera/ops/data_movement/slice.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {
namespace {

Tensor allocate_rows(const Tensor& input_tensor, std::int64_t rows) {
  TensorSpec spec = input_tensor.spec();
  spec.shape = spec.shape.with(-2, rows);
  return Tensor::allocate(input_tensor.device(), placed(spec, input_tensor), "slice");
}

/// Copies the rows of `output` from those of `input` that begin at first_of(chip), `step` apart.
template <typename FirstOf>
runtime::Program copy_rows(const Tensor& input, const Tensor& output, const FirstOf& first_of, std::int64_t step = 1) {
  const auto body = [in = input.view(), out = output.view(), first_of, step, width = output.shape()[-1]](
                        std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    float* const values = runtime::thread_scratch(width);
    kernels::kernels().load_row(in.tiles(chip, matrix), first_of(chip) + row * step, 0, width, values);
    kernels::kernels().store_row(out.tiles(chip, matrix), row, values, width);
  };
  return {.name = "slice", .stages = {for_each_row(output, body)}};
}

/// The rows taken alone are read.
OpWork work_of(const Tensor& output) {
  const bool dram = output.memory_config().buffer_type == BufferType::DRAM;
  const std::int64_t bytes = output.spec().size_bytes();
  return {.dram_read_bytes = dram ? bytes : 0, .dram_write_bytes = dram ? bytes : 0, .l1_bytes = dram ? 0 : 2 * bytes};
}

} // namespace

Tensor slice_rows(const Tensor& input_tensor, std::int64_t first, std::int64_t last, std::int64_t step) {
  require_tile("slice", "input_tensor", input_tensor);
  const std::int64_t rows = input_tensor.shape()[-2];
  base::require(0 <= first && first < last && last <= rows && step >= 1,
                "[slice] rows first < last within 0..{} and a step of 1 or more are required; received {}..{} and {}",
                rows, first, last, step);
  Tensor output = allocate_rows(input_tensor, div_up(last - first, step));
  launch(input_tensor.device(),
         copy_rows(
             input_tensor, output, [first](std::int64_t) { return first; }, step),
         {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
           return OpDetails{{{"first_row", first}, {"last_row", last}, {"step", step}}, work_of(output), movement()};
         });
  return output;
}

Tensor slice_rows(const Tensor& input_tensor, const Tensor& first, std::int64_t rows) {
  require_tile("slice", "input_tensor", input_tensor);
  require_integers("slice", "first", first, {1});
  require_same_device("slice", {{"input_tensor", input_tensor}, {"first", first}});
  const std::int64_t last_start = input_tensor.shape()[-2] - rows;
  base::require(rows >= 1 && last_start >= 0, "[slice] 1 to {} rows are required; received {}",
                input_tensor.shape()[-2], rows);
  Tensor output = allocate_rows(input_tensor, rows);
  const auto first_of = [view = first.view(), last_start](std::int64_t chip) {
    const std::int64_t row = *view.elements<std::int32_t>(chip);
    base::require<base::DeviceError>(0 <= row && row <= last_start, "the first row must be in 0..{}; received {}",
                                     last_start, row);
    return row;
  };
  launch(input_tensor.device(), copy_rows(input_tensor, output, first_of),
         {{"input_tensor", input_tensor}, {"first", first}}, {{"output", output}}, [&] {
           return OpDetails{{{"rows", rows}}, work_of(output), movement()};
         });
  return output;
}

Tensor slice_columns(const Tensor& input_tensor, std::int64_t first, std::int64_t last) {
  require_tile("slice", "input_tensor", input_tensor);
  const std::int64_t columns = input_tensor.shape()[-1];
  base::require(0 <= first && first < last && last <= columns,
                "[slice] columns first < last within 0..{} are required; received {}..{}", columns, first, last);
  TensorSpec spec = input_tensor.spec();
  spec.shape = spec.shape.with(-1, last - first);
  Tensor output = Tensor::allocate(input_tensor.device(), placed(spec, input_tensor), "slice");
  const auto body = [in = input_tensor.view(), out = output.view(), first, count = last - first](
                        std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    float* const values = runtime::thread_scratch(count);
    kernels::kernels().load_row(in.tiles(chip, matrix), row, first, count, values);
    kernels::kernels().store_row(out.tiles(chip, matrix), row, values, count);
  };
  launch(input_tensor.device(), {.name = "slice", .stages = {for_each_row(output, body)}},
         {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
           return OpDetails{{{"first_column", first}, {"last_column", last}}, work_of(output), movement()};
         });
  return output;
}

} // namespace tessera::ops
