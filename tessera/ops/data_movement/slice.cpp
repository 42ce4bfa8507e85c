#include "tessera/ops/data_movement/slice.hpp"

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {

Tensor slice_rows(const Tensor& input_tensor, std::int64_t first, std::int64_t last) {
  require_tile("slice", "input_tensor", input_tensor);
  const std::int64_t rows = input_tensor.shape()[-2];
  base::require(0 <= first && first < last && last <= rows,
                "[slice] rows first < last within 0..{} are required; received {}..{}", rows, first, last);
  runtime::MeshDevice& device = input_tensor.device();
  TensorSpec spec = input_tensor.spec();
  spec.shape = spec.shape.with(-2, last - first);
  Tensor output = Tensor::allocate(device, spec, "slice");

  const std::int64_t width = spec.shape[-1];
  const auto body = [in = input_tensor.view(), out = output.view(), first, width](
                        std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    float* const values = runtime::thread_scratch(width);
    kernels::kernels().load_row(in.tiles(chip, matrix), first + row, 0, width, values);
    kernels::kernels().store_row(out.tiles(chip, matrix), row, values, width);
  };
  launch(device, {.name = "slice", .stages = {for_each_row(output, body)}}, {{"input_tensor", input_tensor}},
         {{"output", output}}, [&] {
           const bool dram = spec.memory_config.buffer_type == BufferType::DRAM;
           const std::int64_t bytes = spec.size_bytes();
           return OpDetails{{{"first_row", first}, {"last_row", last}},
                            {.dram_read_bytes = dram ? bytes : 0,
                             .dram_write_bytes = dram ? bytes : 0,
                             .l1_bytes = dram ? 0 : 2 * bytes}};
         });
  return output;
}

} // namespace tessera::ops
