#include "tessera/ops/transformer/rotary_embedding.hpp"

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {

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
  launch(device, {.name = kName, .stages = {for_each_row(output, body)}},
         {{"input_tensor", input_tensor}, {"cos", cos}, {"sin", sin}}, {{"output", output}}, [&] {
           return OpDetails{{{"is_decode_mode", is_decode_mode}}, {.vector_flops = 3 * shape.volume()}};
         });
  return output;
}

} // namespace tessera::ops
