#include "tessera/ops/matmul/linear.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/ops/matmul/matmul_units.hpp"
#include "tessera/ops/matmul/panel.hpp"
#include "tessera/ops/matmul/row_blocks.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

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
  const MemoryConfig& place = weight.memory_config();
  base::require(!place.is_sharded() || (place.buffer_type == BufferType::DRAM &&
                                        place.memory_layout == TensorMemoryLayout::WIDTH_SHARDED &&
                                        a.memory_config().memory_layout == TensorMemoryLayout::WIDTH_SHARDED),
                "[linear] a weight that is interleaved, or WIDTH_SHARDED in DRAM beside a WIDTH_SHARDED "
                "input_tensor_a, is required; received {} and {}",
                weight.spec(), a.spec());
  if (bias.defined()) {
    require_tile("linear", "bias", bias);
    require_shape("linear", "bias", bias, {1, 1, 1, weight.shape()[-1]});
  }
}

/// Fills the panel, tile by tile.
runtime::Stage pack_rows(const Tensor& a, const Panel& panel) {
  return for_each_tile(a.spec(), [a = a.view(), panel](const runtime::Unit& unit, const TileAt& tile) {
    pack_tile(panel, a.tiles(unit.chip), tile,
              unit.scratch + tile.row * kTileHeight * panel.row_bytes + tile.column * panel.tile_bytes);
  });
}

// Measured on an EPYC of family 1Ah, K = 4096, of the arithmetic's peak: 96 rows at a time give 81 %, 256 rows 89 %,
// 512 rows 88 %; far more come from main memory again for each column.
constexpr RowsOfBlock kRowsOfBlock{.least = 384, .most = 768};
constexpr std::int64_t kPair = 2; ///< columns of tiles

/// Blocks of rows times columns of tiles: multiply, add the bias, apply the activation, round and store.
runtime::Stage multiply(const Tensor& weight, const LinearOptions& options, const Tensor& output,
                        const Extents& extents, const Panel& panel) {
  const Tensor& bias = options.bias;
  const RowBlocks blocks(extents.rows, panel.row_bytes, kRowsOfBlock);
  const std::int64_t columns = output.spec().tile_columns();
  // Nearly equal runs of whole pairs, whose tiles stand in turn in memory, as many for one thread as for another.
  const std::int64_t pairs = div_up(columns, kPair);
  const std::int64_t threads = output.device().queue().threads();
  std::int64_t column_units = div_up(columns, tile_columns_of_unit(weight.spec()));
  if (column_units > threads) column_units = std::min(round_up(column_units, threads), pairs);
  return {blocks.count * column_units,
          [w = weight.view(), b = bias.defined() ? bias.view() : DeviceView(), has_bias = bias.defined(),
           activation = options.activation, out = output.view(), extents, panel, blocks, columns, pairs,
           column_units](const runtime::Unit& unit) {
            // Units that share rows follow each other: their rows are still near.
            const std::int64_t row = blocks.begin(unit.index / column_units);
            const std::int64_t number = unit.index % column_units;
            const std::int64_t first = number * pairs / column_units * kPair;
            const std::int64_t last = std::min((number + 1) * pairs / column_units * kPair, columns);
            Extents own = extents;
            own.rows = blocks.rows_of(unit.index / column_units);
            multiply_columns(unit.scratch + row * panel.row_bytes, panel, own, w.tiles(unit.chip),
                             {.tiles = out.tiles(unit.chip),
                              .tile_row = row / kTileHeight,
                              .bias = has_bias ? b.tiles(unit.chip) : kernels::Tiles(),
                              .activation = activation},
                             first, last);
          }};
}

MatmulUnits units_of(const Tensor& a, const Tensor& weight, const LinearOptions& options,
                     const ComputeConfig& compute) {
  const std::int64_t depth = weight.spec().tile_rows();
  return {.depth = depth,
          .block = matmul_block(a.shape()[-2], depth, weight.spec().tile_columns()),
          .input = a.dtype(),
          .weight = weight.dtype(),
          .output = options.dtype,
          .has_bias = options.bias.defined(),
          .bias = options.bias.defined() ? options.bias.dtype() : DataType::BFLOAT16,
          .activation = options.activation,
          .compute = compute};
}

runtime::Stage multiply_exactly(const Tensor& a, const Tensor& weight, const Tensor& bias, const Tensor& output,
                                const MatmulUnits& units) {
  TileIo io{{read_rows(a.view()), read_column(weight.view())}, write_column(output.view())};
  if (bias.defined()) io.read.push_back(read_column(bias.view()));
  return exact_columns(output, matmul_units(units), std::move(io));
}

} // namespace

Tensor linear(const Tensor& input_tensor_a, const Tensor& weight, const LinearOptions& options) {
  check(input_tensor_a, weight, options.bias);
  require_float("linear", options.dtype);
  runtime::MeshDevice& device = input_tensor_a.device();
  const Extents extents{.rows = input_tensor_a.shape()[-2],
                        .depth = weight.shape()[-2],
                        .padded_depth = weight.spec().tile_rows() * kTileHeight,
                        .columns = weight.shape()[-1]};
  const ComputeConfig compute = options.compute_kernel_config.value_or(default_compute_config(weight.dtype()));
  const TensorSpec spec = placed({input_tensor_a.shape().with(-1, extents.columns), options.dtype, Layout::TILE, {}},
                                 input_tensor_a, options.memory_config);
  Tensor output = Tensor::allocate(device, spec, "linear");
  const Panel panel(input_tensor_a.dtype(), weight.dtype(), compute.math_fidelity, extents);

  runtime::Program program{.name = "linear",
                           .key = options_key(compute, {static_cast<std::int64_t>(options.activation)})};
  const auto units = [&] { return units_of(input_tensor_a, weight, options, compute); };
  if (is_exact(device)) {
    program.stages = {multiply_exactly(input_tensor_a, weight, options.bias, output, units())};
  } else {
    program.stages = {pack_rows(input_tensor_a, panel), multiply(weight, options, output, extents, panel)};
    program.scratch_bytes = extents.rows * panel.row_bytes;
  }
  launch(device, std::move(program), {{"input_tensor_a", input_tensor_a}, {"weight", weight}, {"bias", options.bias}},
         {{"output", output}}, [&] {
           return OpDetails{{{"math_fidelity", std::string(to_string(compute.math_fidelity))},
                             {"fp32_dest_acc_en", compute.fp32_dest_acc_en},
                             {"packer_l1_acc", compute.packer_l1_acc},
                             {"in0_block_w", units().block},
                             {"activation", std::string(to_string(options.activation))}},
                            {.matmul_flops = 2 * extents.rows * extents.depth * extents.columns,
                             .fidelity = compute.math_fidelity,
                             .vector_flops = flops_of(options.activation) * extents.rows * extents.columns},
                            shared(matmul_units(units()))};
         });
  return output;
}

} // namespace tessera::ops
