#include "tessera/ops/eltwise/plus_one.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

void plus_one(const Tensor& input_tensor) {
  base::require(
      input_tensor.defined() && input_tensor.dtype() == DataType::INT32 && input_tensor.layout() == Layout::ROW_MAJOR,
      "[plus_one] input_tensor must be INT32 in ROW_MAJOR; received {}",
      input_tensor.defined() ? to_string(input_tensor.spec()) : "none");
  const std::int64_t count = input_tensor.shape().volume();
  const auto body = [view = input_tensor.view(), count](const runtime::Unit& unit) {
    std::int32_t* const values = view.elements<std::int32_t>(unit.chip);
    // Unsigned, since the largest wraps round as it does on the card.
    for (std::int64_t i = 0; i < count; ++i)
      if (values[i] >= 0) values[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(values[i]) + 1U);
  };
  // One unit: a batch of users is a few cache lines.
  launch(input_tensor.device(), {.name = "plus_one", .stages = {{1, body}}}, {{"input_tensor", input_tensor}},
         {{"output", input_tensor}}, [&] {
           return OpDetails{{{"skip_negative_entries", true}}, {.vector_flops = count}, scalar_code()};
         });
}

} // namespace tessera::ops
