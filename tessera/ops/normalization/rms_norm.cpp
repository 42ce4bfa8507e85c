#include "tessera/ops/normalization/rms_norm.hpp"

#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/normalization/norm_rows.hpp"
#include "tessera/ops/normalization/norm_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {

Tensor rms_norm(const Tensor& input_tensor, const Tensor& weight, const RmsNormOptions& options) {
  require_tile("rms_norm", "input_tensor", input_tensor);
  require_tile("rms_norm", "weight", weight);
  require_parameters("rms_norm", {weight, {}}, input_tensor);
  const Tensor output =
      norm_output("rms_norm", input_tensor, input_tensor.shape(), options.dtype, options.memory_config);
  const std::int64_t width = input_tensor.shape()[-1];
  const auto body = [in = input_tensor.view(), gamma = weight.view(), out = output.view(), width,
                     epsilon = options.epsilon](std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const x = runtime::thread_scratch(2 * width);
    float* const g = x + width;
    isa.load_row(in.tiles(chip, matrix), row, 0, width, x);
    isa.load_row(gamma.tiles(chip), 0, 0, width, g);
    isa.scale_row(x, g, rms_scale(isa.sum_of_squares(x, width), width, epsilon), width, x);
    isa.store_row(out.tiles(chip, matrix), row, x, width);
  };
  const auto units = [&] {
    return rms_norm_units(input_tensor.spec().tile_columns(), options.epsilon,
                          formats_of(input_tensor, {weight, {}}, output));
  };
  const auto stage = [&] {
    if (!is_exact(output.device())) return for_each_row(output, body);
    return exact_rows(output, units(),
                      {{read_rows(input_tensor.view()), read_constant(1.0F / static_cast<float>(width)),
                        read_parameters(weight.view())},
                       write_rows(output.view())});
  };
  launch(output.device(), {.name = "rms_norm", .stages = {stage()}},
         {{"input_tensor", input_tensor}, {"weight", weight}}, {{"output", output}}, [&] {
           return OpDetails{{{"epsilon", double{options.epsilon}}},
                            {.vector_flops = 4 * input_tensor.shape().volume()},
                            shared(units())};
         });
  return output;
}

} // namespace tessera::ops
