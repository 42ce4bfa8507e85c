#include "tessera/ops/sampling/argmax.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/ops/sampling/rows_program.hpp"

namespace tessera::ops {

Tensor argmax(const Tensor& input_tensor, const MemoryConfig& memory_config) {
  require_tile("argmax", "input_tensor", input_tensor);
  const Shape& shape = input_tensor.shape();
  base::require(shape.volume() > 0, "[argmax] input_tensor must have elements; received {}", shape);
  const TensorSpec spec =
      placed({Shape(shape.extents().first(shape.rank() - 1)), DataType::INT32, Layout::ROW_MAJOR, {}}, input_tensor,
             memory_config);
  Tensor output = Tensor::allocate(input_tensor.device(), spec, "argmax");
  const auto body = [out = output.view()](std::int64_t chip, std::int64_t row, const LogitsRow& logits,
                                          std::span<const float> maxima) {
    out.elements<std::int32_t>(chip)[row] = static_cast<std::int32_t>(index_of_largest(logits, maxima));
  };
  launch(input_tensor.device(), rows_program("argmax", input_tensor, {.body = body}), {{"input_tensor", input_tensor}},
         {{"output", output}}, [&] {
           return OpDetails{{{"dim", std::int64_t{-1}}}, {.vector_flops = shape.volume()}, scalar_code()};
         });
  return output;
}

} // namespace tessera::ops
