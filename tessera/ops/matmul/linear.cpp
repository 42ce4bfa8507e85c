#include "tessera/ops/matmul/linear.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Extents of one product, in elements; the depth also padded to whole tiles.
struct Extents {
  std::int64_t rows;
  std::int64_t depth;
  std::int64_t padded_depth;
  std::int64_t columns;
};

/// The rows of a as the kernel reads them, in the program's scratch memory.
struct Panel {
  enum class Arithmetic {
    FP32,
    BF16,
    INT8
  }; ///< matmul_tile_column, matmul_bf16_tile_columns, matmul_int8_tile_columns

  Arithmetic arithmetic;
  std::int64_t tile_bytes; ///< of 32 values of a row
  std::int64_t row_bytes;

  Panel(DataType activations, DataType weights, MathFidelity fidelity, const Extents& extents)
      : arithmetic(choose(activations, weights, fidelity, extents.rows)),
        tile_bytes(bytes_of_tile(arithmetic)),
        // A cache line more than the values: rows a power of two apart would share their sets of the cache.
        row_bytes(extents.padded_depth / kTileWidth * tile_bytes + kCacheLine) {}

 private:
  static constexpr std::int64_t kCacheLine = 64;

  static Arithmetic choose(DataType activations, DataType weights, MathFidelity fidelity, std::int64_t rows) {
    if (activations == DataType::FLOAT32 || weights == DataType::FLOAT32 || weights == DataType::BFLOAT2_B)
      return Arithmetic::FP32;
    const bool lofi = fidelity == MathFidelity::LoFi && weights == DataType::BFLOAT4_B;
    return lofi && rows >= kernels::kernels().int8_least_rows ? Arithmetic::INT8 : Arithmetic::BF16;
  }
  static std::int64_t bytes_of_tile(Arithmetic arithmetic) {
    const kernels::Kernels& isa = kernels::kernels();
    switch (arithmetic) {
      case Arithmetic::INT8:
        return isa.int8_block_bytes;
      case Arithmetic::BF16:
        return kTileWidth * isa.packed_bytes;
      default:
        return kTileWidth * std::int64_t{sizeof(float)};
    }
  }
};

// Weights of one unit: long enough a run of memory to stream, unless too few units would be left to share.
constexpr std::int64_t kUnitBytes = 256 << 10;
constexpr std::int64_t kLeastUnits = 8;
constexpr std::int64_t kPair = 2;
// Rows up to which a pair of columns is multiplied together, in one pass over memory.
constexpr std::int64_t kFewRows = 4;

std::int64_t tile_columns_of_unit(const TensorSpec& weight) {
  const std::int64_t column_bytes = weight.tile_rows() * tile_bytes(weight.dtype);
  const std::int64_t most = std::max<std::int64_t>(1, weight.tile_columns() / kLeastUnits);
  // Whole pairs: their tiles stand in turn in memory.
  return round_up(std::clamp<std::int64_t>(kUnitBytes / column_bytes, 1, most), kPair);
}

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

/// One row of a tile into its place in the panel.
void pack_row(const Panel& panel, const float* values, std::byte* out) {
  const kernels::Kernels& isa = kernels::kernels();
  switch (panel.arithmetic) {
    case Panel::Arithmetic::INT8:
      return isa.pack_int8(values, kTileWidth, out);
    case Panel::Arithmetic::BF16:
      return isa.pack_bf16(values, kTileWidth, out);
    case Panel::Arithmetic::FP32:
      std::copy_n(values, kTileWidth, reinterpret_cast<float*>(out));
  }
}

/// Fills the panel, tile by tile.
runtime::Stage pack_rows(const Tensor& a, const Panel& panel) {
  return for_each_tile(a.spec(), [a = a.view(), panel](const runtime::Unit& unit, const TileAt& tile) {
    float* const values = runtime::thread_scratch(kTileElements);
    load_tile_rows(a.tiles(unit.chip), tile.row, tile.column, tile.rows, values);
    std::byte* out = unit.scratch + tile.row * kTileHeight * panel.row_bytes + tile.column * panel.tile_bytes;
    for (std::int64_t row = 0; row < tile.rows; ++row, out += panel.row_bytes)
      pack_row(panel, values + row * kTileWidth, out);
  });
}

/// The panel times `columns` columns of tiles: block [columns, rows, 32].
void multiply_columns(const std::byte* packed, const Panel& panel, const Extents& extents,
                      const kernels::ConstTiles& weight, std::int64_t first, std::int64_t columns, float* block) {
  const kernels::Kernels& isa = kernels::kernels();
  if (panel.arithmetic != Panel::Arithmetic::FP32) {
    const auto multiply =
        panel.arithmetic == Panel::Arithmetic::INT8 ? isa.matmul_int8_tile_columns : isa.matmul_bf16_tile_columns;
    return multiply(packed, panel.row_bytes, extents.rows, extents.padded_depth, weight, first, columns, block);
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    isa.matmul_tile_column(reinterpret_cast<const float*>(packed), panel.row_bytes / std::int64_t{sizeof(float)},
                           extents.rows, extents.padded_depth, weight, first + c,
                           block + c * extents.rows * kTileWidth);
  }
}

/// Brings the tiles of the output near while the weights stream by, which drive them out of the cache at each step.
/// With few rows, most of the bytes written are padding.
void expect_writes(const kernels::Tiles& out, std::int64_t first, std::int64_t columns) {
  const std::int64_t bytes = tile_bytes(out.dtype);
  for (std::int64_t column = first; column < first + columns; ++column) {
    const std::byte* tile = out.data + tile_position(out.tile_rows, out.tile_columns, 0, column) * bytes;
    for (std::int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(tile + line, 1);
  }
}

/// Columns of tiles: multiply, add the bias, apply the activation, round and store.
runtime::Stage multiply(const Tensor& weight, const LinearOptions& options, const Tensor& output,
                        const Extents& extents, const Panel& panel) {
  const Tensor& bias = options.bias;
  const std::int64_t columns = output.spec().tile_columns();
  const std::int64_t of_unit = tile_columns_of_unit(weight.spec());
  return {div_up(columns, of_unit), [w = weight.view(), b = bias.defined() ? bias.view() : DeviceView(),
                                     has_bias = bias.defined(), activation = options.activation, out = output.view(),
                                     extents, panel, columns, of_unit](const runtime::Unit& unit) {
            const kernels::Kernels& isa = kernels::kernels();
            const std::int64_t together = extents.rows <= kFewRows ? of_unit : 1;
            float* const block = runtime::thread_scratch((together * extents.rows + 1) * kTileWidth);
            float* const bias_values = block + together * extents.rows * kTileWidth;
            const std::int64_t end = std::min((unit.index + 1) * of_unit, columns);
            for (std::int64_t first = unit.index * of_unit; first < end; first += together) {
              const std::int64_t count = std::min(together, end - first);
              if (extents.rows <= kFewRows) expect_writes(out.tiles(unit.chip), first, count);
              multiply_columns(unit.scratch, panel, extents, w.tiles(unit.chip), first, count, block);
              for (std::int64_t c = 0; c < count; ++c) {
                float* const sums = block + c * extents.rows * kTileWidth;
                if (has_bias) {
                  isa.load_row(b.tiles(unit.chip), 0, (first + c) * kTileWidth, kTileWidth, bias_values);
                  for (std::int64_t row = 0; row < extents.rows; ++row)
                    isa.add(sums + row * kTileWidth, bias_values, kTileWidth, sums + row * kTileWidth);
                }
                apply(activation, extents.rows * kTileWidth, sums);
                for (std::int64_t row = 0; row < extents.rows; row += kTileHeight) {
                  isa.store_tile(out.tiles(unit.chip), row / kTileHeight, first + c,
                                 std::min(kTileHeight, extents.rows - row), sums + row * kTileWidth, kTileWidth);
                }
              }
            }
          }};
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
  const TensorSpec spec{input_tensor_a.shape().with(-1, extents.columns), options.dtype, Layout::TILE,
                        options.memory_config.value_or(input_tensor_a.memory_config())};
  Tensor output = Tensor::allocate(device, spec, "linear");
  const Panel panel(input_tensor_a.dtype(), weight.dtype(), compute.math_fidelity, extents);

  launch(device,
         {.name = "linear",
          .stages = {pack_rows(input_tensor_a, panel), multiply(weight, options, output, extents, panel)},
          .scratch_bytes = extents.rows * panel.row_bytes},
         {{"input_tensor_a", input_tensor_a}, {"weight", weight}, {"bias", options.bias}}, {{"output", output}}, [&] {
           return OpDetails{{{"math_fidelity", std::string(to_string(compute.math_fidelity))},
                             {"fp32_dest_acc_en", compute.fp32_dest_acc_en},
                             {"packer_l1_acc", compute.packer_l1_acc},
                             {"activation", std::string(to_string(options.activation))}},
                            {.matmul_flops = 2 * extents.rows * extents.depth * extents.columns,
                             .fidelity = compute.math_fidelity,
                             .vector_flops = flops_of(options.activation) * extents.rows * extents.columns}};
         });
  return output;
}

} // namespace tessera::ops
