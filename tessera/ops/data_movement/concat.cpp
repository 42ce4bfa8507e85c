#include "tessera/ops/data_movement/concat.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {

Tensor concat_rows(const Tensor& a, const Tensor& b, std::int64_t batch_size) {
  constexpr std::string_view kName = "concat";
  require_tile(kName, "a", a);
  require_tile(kName, "b", b);
  require_same_device(kName, {{"a", a}, {"b", b}});
  const std::int64_t width = b.shape()[-1];
  const std::int64_t rows = b.shape()[-2];
  base::require(batch_size > 0 && a.spec().num_matrices() == 1 && b.spec().num_matrices() == 1 &&
                    a.shape()[-1] == width && rows % batch_size == 0,
                "[concat] matrices a and b of one width with the rows of {} sequences are required; received {} and {}",
                batch_size, a.shape(), b.shape());
  const std::int64_t of_b = rows / batch_size;
  const std::int64_t of_a = a.shape()[-2];
  TensorSpec spec = b.spec();
  spec.shape = spec.shape.with(-2, batch_size * (of_a + of_b));
  Tensor output = Tensor::allocate(b.device(), placed(spec, b), kName);
  const auto body = [a = a.view(), b = b.view(), out = output.view(), of_a, of_b, width](
                        std::int64_t chip, std::int64_t, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t place = row % (of_a + of_b);
    float* const values = runtime::thread_scratch(width);
    if (place < of_a) {
      isa.load_row(a.tiles(chip), place, 0, width, values);
    } else {
      isa.load_row(b.tiles(chip), row / (of_a + of_b) * of_b + place - of_a, 0, width, values);
    }
    isa.store_row(out.tiles(chip), row, values, width);
  };
  launch(b.device(), {.name = kName, .stages = {for_each_row(output, body)}}, {{"a", a}, {"b", b}},
         {{"output", output}}, [&] {
           return OpDetails{{{"dim", std::int64_t{-2}}, {"batch_size", batch_size}}, {}, movement()};
         });
  return output;
}

} // namespace tessera::ops
