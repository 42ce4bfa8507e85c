#include "tessera/ops/matmul/linear.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Extents of one product, in elements; depth and rows padded to whole tiles.
struct Extents {
  std::int64_t rows;
  std::int64_t padded_rows;
  std::int64_t depth;
  std::int64_t padded_depth;
  std::int64_t columns;
};

void check(const Tensor& a, const Tensor& weight, const Tensor& bias) {
  require_tile("linear", "input_tensor_a", a);
  require_tile("linear", "weight", weight);
  require_same_device("linear", {{"input_tensor_a", a}, {"weight", weight}, {"bias", bias}});
  base::require(a.spec().num_matrices() == 1 && weight.spec().num_matrices() == 1,
                "[linear] one matrix each is required, [1, 1, M, K] x [1, 1, K, N]; received {} and {}", a.shape(),
                weight.shape());
  base::require(a.shape()[-1] == weight.shape()[-2],
                "[linear] the last extent of input_tensor_a must equal the weight's rows; received {} and {}",
                a.shape(), weight.shape());
  if (bias.defined()) {
    require_tile("linear", "bias", bias);
    require_shape("linear", "bias", bias, {1, 1, 1, weight.shape()[-1]});
  }
}

/// Widens the rows of a to fp32, row-major, in the program's scratch memory: [rows, padded_depth].
runtime::Stage widen_rows(const Tensor& a, const Extents& extents) {
  return {extents.rows, [a = a.view(), extents](const runtime::Unit& unit) {
            float* const row = reinterpret_cast<float*>(unit.scratch) + unit.index * extents.padded_depth;
            kernels::kernels().load_row(a.tiles(unit.chip), unit.index, 0, extents.depth, row);
            std::fill(row + extents.depth, row + extents.padded_depth, 0.0F);
          }};
}

/// One column of tiles: multiply, add the bias, round and store.
runtime::Stage multiply(const Tensor& weight, const Tensor& bias, const Tensor& output, const Extents& extents) {
  const DeviceView no_bias;
  return {output.spec().tile_columns(),
          [w = weight.view(), b = bias.defined() ? bias.view() : no_bias, has_bias = bias.defined(),
           out = output.view(), extents](const runtime::Unit& unit) {
            const kernels::Kernels& isa = kernels::kernels();
            float* const block = runtime::thread_scratch((extents.padded_rows + 1) * kTileWidth);
            const auto* a = reinterpret_cast<const float*>(unit.scratch);
            isa.matmul_tile_column(a, extents.padded_depth, extents.rows, extents.padded_depth, w.tiles(unit.chip),
                                   unit.index, block);
            if (has_bias) {
              float* const bias_values = block + extents.padded_rows * kTileWidth;
              isa.load_row(b.tiles(unit.chip), 0, unit.index * kTileWidth, kTileWidth, bias_values);
              for (std::int64_t row = 0; row < extents.rows; ++row)
                isa.add(block + row * kTileWidth, bias_values, kTileWidth, block + row * kTileWidth);
            }
            std::fill(block + extents.rows * kTileWidth, block + extents.padded_rows * kTileWidth, 0.0F);
            for (std::int64_t tile_row = 0; tile_row < extents.padded_rows / kTileHeight; ++tile_row) {
              isa.store_tile(out.tiles(unit.chip), tile_row, unit.index, block + tile_row * kTileElements, kTileWidth);
            }
          }};
}

} // namespace

Tensor linear(const Tensor& input_tensor_a, const Tensor& weight, const LinearOptions& options) {
  check(input_tensor_a, weight, options.bias);
  require_float("linear", options.dtype);
  runtime::MeshDevice& device = input_tensor_a.device();
  const Extents extents{.rows = input_tensor_a.shape()[-2],
                        .padded_rows = input_tensor_a.spec().tile_rows() * kTileHeight,
                        .depth = weight.shape()[-2],
                        .padded_depth = weight.spec().tile_rows() * kTileHeight,
                        .columns = weight.shape()[-1]};
  const ComputeConfig compute = options.compute_kernel_config.value_or(default_compute_config(weight.dtype()));
  const TensorSpec spec{input_tensor_a.shape().with(-1, extents.columns), options.dtype, Layout::TILE,
                        options.memory_config.value_or(input_tensor_a.memory_config())};
  Tensor output = Tensor::allocate(device, spec, "linear");

  device.queue().enqueue(
      {.name = "linear",
       .stages = {widen_rows(input_tensor_a, extents), multiply(weight, options.bias, output, extents)},
       .scratch_bytes = extents.rows * extents.padded_depth * std::int64_t{sizeof(float)},
       .scope = device.scope()},
      [&] {
        return describe(
            {{"input_tensor_a", input_tensor_a}, {"weight", weight}, {"bias", options.bias}}, {{"output", output}},
            {{"math_fidelity", std::string(to_string(compute.math_fidelity))},
             {"fp32_dest_acc_en", compute.fp32_dest_acc_en},
             {"packer_l1_acc", compute.packer_l1_acc}},
            {.matmul_flops = 2 * extents.rows * extents.depth * extents.columns, .fidelity = compute.math_fidelity});
      });
  return output;
}

} // namespace tessera::ops
