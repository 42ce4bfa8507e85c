#include "tessera/ops/embedding/embedding.hpp"

#include <algorithm>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

Shape output_shape(const Shape& ids, std::int64_t width) {
  std::vector<std::int64_t> extents(ids.extents().begin(), ids.extents().end());
  extents.push_back(width);
  return Shape(extents);
}

/// One row of the table as fp32: where it lies for FLOAT32, else widened into `memory`.
const float* table_row(const DeviceView& table, std::int64_t chip, std::int64_t row, std::int64_t width,
                       float* memory) {
  if (table.dtype() == DataType::FLOAT32) return table.elements<float>(chip) + row * width;
  const std::uint16_t* in = table.elements<std::uint16_t>(chip) + row * width;
  for (std::int64_t i = 0; i < width; ++i) memory[i] = numerics::from_bfloat16(in[i]);
  return memory;
}

} // namespace

Tensor embedding(const Tensor& ids, const Tensor& weight, const EmbeddingOptions& options) {
  require_same_device("embedding", {{"ids", ids}, {"weight", weight}});
  base::require(ids.defined() && is_integer(ids.dtype()) && ids.layout() == Layout::ROW_MAJOR,
                "[embedding] ids must be integers in ROW_MAJOR; received {}", ids.spec());
  base::require(weight.layout() == Layout::ROW_MAJOR && !is_integer(weight.dtype()) && weight.shape().rank() >= 2 &&
                    weight.spec().num_matrices() == 1,
                "[embedding] weight must be one ROW_MAJOR matrix of BFLOAT16 or FLOAT32; received {}", weight.spec());
  require_float("embedding", options.dtype);
  const std::int64_t vocabulary = weight.shape()[-2];
  const std::int64_t width = weight.shape()[-1];
  const TensorSpec spec =
      placed({output_shape(ids.shape(), width), options.dtype, Layout::TILE, {}}, ids, options.memory_config);
  Tensor output = Tensor::allocate(ids.device(), spec, "embedding");

  const std::int64_t rows = spec.shape[-2];
  const auto body = [ids = ids.view(), table = weight.view(), out = output.view(), rows, vocabulary, width,
                     exact = is_exact(ids.device())](std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const std::int64_t id = ids.elements<std::int32_t>(chip)[matrix * rows + row];
    base::require(id < vocabulary, "ids must be below {}; received {}", vocabulary, id);
    float* const memory = runtime::thread_scratch(round_up(width, kTileWidth));
    const float* values = id < 0 ? nullptr : table_row(table, chip, id, width, memory);
    if (exact && id >= 0 && table.dtype() != out.dtype()) {
      if (values != memory) std::copy_n(values, width, memory);
      round_as_packed(table.dtype(), out.dtype(), width, memory);
      values = memory;
    }
    kernels::kernels().store_row(out.tiles(chip, matrix), row, values, id < 0 ? 0 : width);
  };
  launch(ids.device(), {.name = "embedding", .stages = {for_each_row(output, body)}},
         {{"input_tensor", ids}, {"weight", weight}}, {{"output", output}}, [&] {
           const std::int64_t row_bytes = weight.spec().page_bytes();
           return OpDetails{
               .work = {.dram_read_bytes = ids.shape().volume() * row_bytes, .dram_write_bytes = spec.size_bytes()},
               .decomposition = movement(weight.dtype(), spec.dtype, spec.tile_columns())};
         });
  return output;
}

} // namespace tessera::ops
