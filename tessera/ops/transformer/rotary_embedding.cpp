#include "tessera/ops/transformer/rotary_embedding.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// x cos + (x trans_mat) sin, each product packed. Inputs: input_tensor, cos, sin, trans_mat (one tile).
Decomposition rotary_units(std::int64_t columns, DataType input, DataType angles, bool one_angle_for_all) {
  KernelBuilder k({.math_fidelity = MathFidelity::HiFi4, .fp32_dest_acc_en = true});
  const TilesAt x = k.input("input_tensor", input);
  const TilesAt cos = one_angle_for_all ? k.input_tile("cos", angles) : k.input("cos", angles);
  const TilesAt sin = one_angle_for_all ? k.input_tile("sin", angles) : k.input("sin", angles);
  const TilesAt trans_mat = k.input_tile("trans_mat", DataType::BFLOAT16);
  const TilesAt out = k.output("output", input);
  const TilesAt rotated = k.intermediate("rotated", input, 1);
  const TilesAt by_cos = k.intermediate("by_cos", input, 1);
  const Broadcast broadcast = one_angle_for_all ? Broadcast::ROW : Broadcast::NONE;
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.matmul(x[j], trans_mat[0]);
    k.pack(rotated[0]);
    k.acquire();
    k.mul(rotated[0], sin[j], broadcast);
    k.pack(rotated[0]);
    k.acquire();
    k.mul(x[j], cos[j], broadcast);
    k.pack(by_cos[0]);
    k.acquire();
    k.add(by_cos[0], rotated[0]);
    k.pack(out[j]);
  });
  return k.finish();
}

/// Takes each pair (a, b) of a row to (-b, a).
void read_trans_mat(const ExactWork&, std::int64_t, float* out) {
  std::fill_n(out, kTileElements, 0.0F);
  for (std::int64_t i = 0; i < kTileWidth; i += 2) {
    out[(i + 1) * kTileWidth + i] = -1.0F;
    out[i * kTileWidth + i + 1] = 1.0F;
  }
}

/// The angles of the work's rows: in decode one row, that of the user.
TileIo::Reader read_angles(const Tensor& angles, bool is_decode_mode) {
  return [view = angles.view(), is_decode_mode](const ExactWork& work, std::int64_t tile, float* out) {
    const kernels::Tiles tiles = view.tiles(work.chip, is_decode_mode ? work.matrix : 0);
    if (is_decode_mode) return kernels::kernels().load_tile(tiles, 0, tile, out);
    load_tile_rows(tiles, work.row / kTileHeight, tile, work.rows, out);
  };
}

} // namespace

Tensor rotary_embedding_llama(const Tensor& input_tensor, const Tensor& cos, const Tensor& sin, bool is_decode_mode) {
  constexpr std::string_view kName = "rotary_embedding_llama";
  require_tile(kName, "input_tensor", input_tensor);
  require_tile(kName, "cos", cos);
  require_tile(kName, "sin", sin);
  require_same_device(kName, {{"input_tensor", input_tensor}, {"cos", cos}, {"sin", sin}});
  const Shape& shape = input_tensor.shape();
  base::require(shape.rank() == 4 && shape[0] == 1 && shape[3] % 2 == 0,
                "[{}] input_tensor must have the shape [1, {}, D] with an even D; received {}", kName,
                is_decode_mode ? "B, H" : "H, S", shape);
  const std::int64_t head_dim = shape[3];
  const Shape angles = is_decode_mode ? Shape{1, shape[1], 1, head_dim} : Shape{1, 1, shape[2], head_dim};
  require_shape(kName, "cos", cos, angles);
  require_shape(kName, "sin", sin, angles);
  if (is_decode_mode) {
    for (const auto& [name, tensor] : {Operand{"input_tensor", input_tensor}, Operand{"cos", cos}, Operand{"sin", sin}})
      require_height_sharded(kName, name, tensor);
  }
  runtime::MeshDevice& device = input_tensor.device();
  Tensor output = Tensor::allocate(device, input_tensor.spec(), kName);

  const auto body = [in = input_tensor.view(), cos = cos.view(), sin = sin.view(), out = output.view(), head_dim,
                     is_decode_mode](std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const x = runtime::thread_scratch(3 * head_dim);
    float* const c = x + head_dim;
    float* const s = c + head_dim;
    isa.load_row(in.tiles(chip, matrix), row, 0, head_dim, x);
    isa.load_row(cos.tiles(chip, is_decode_mode ? matrix : 0), is_decode_mode ? 0 : row, 0, head_dim, c);
    isa.load_row(sin.tiles(chip, is_decode_mode ? matrix : 0), is_decode_mode ? 0 : row, 0, head_dim, s);
    isa.rotate_pairs(x, c, s, head_dim, x);
    isa.store_row(out.tiles(chip, matrix), row, x, head_dim);
  };
  const auto units = [&] {
    return rotary_units(input_tensor.spec().tile_columns(), input_tensor.dtype(), cos.dtype(), is_decode_mode);
  };
  const auto stage = [&] {
    if (!is_exact(device)) return for_each_row(output, body);
    return exact_rows(output, units(),
                      {{read_rows(input_tensor.view()), read_angles(cos, is_decode_mode),
                        read_angles(sin, is_decode_mode), read_trans_mat},
                       write_rows(output.view())});
  };
  launch(
      device, {.name = kName, .stages = {stage()}}, {{"input_tensor", input_tensor}, {"cos", cos}, {"sin", sin}},
      {{"output", output}}, [&] {
        return OpDetails{{{"is_decode_mode", is_decode_mode}}, {.vector_flops = 3 * shape.volume()}, shared(units())};
      });
  return output;
}

} // namespace tessera::ops
