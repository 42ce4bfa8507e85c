#include "tessera/ops/eltwise/eltwise_units.hpp"

#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

TileFunction function_of(Activation activation) {
  switch (activation) {
    case Activation::SILU:
      return TileFunction::SILU;
    case Activation::GELU:
      return TileFunction::GELU;
    case Activation::GELU_TANH:
      return TileFunction::GELU_TANH;
    default:
      return TileFunction::RELU;
  }
}

Decomposition unary_units(std::span<const VectorStep> chain, std::int64_t columns, const UnaryFormats& formats) {
  KernelBuilder k(element_wise_config({formats.input, formats.output}));
  const TilesAt in = k.input("input_tensor", formats.input);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt between = k.intermediate("between", formats.input, 1);
  k.loop(columns, [&](const TileNumber& j) {
    for (std::size_t i = 0; i < chain.size(); ++i) {
      k.acquire();
      k.copy_to_dest(i == 0 ? in[j] : between[0]);
      k.function(chain[i].function, chain[i].scalar);
      k.pack(i + 1 < chain.size() ? between[0] : out[j]);
    }
  });
  return k.finish();
}

Decomposition binary_units(TileFunction function, Activation activation, std::int64_t columns,
                           const BinaryFormats& formats) {
  const bool by_vector_unit = formats.a == DataType::FLOAT32 || formats.b == DataType::FLOAT32;
  KernelBuilder k(element_wise_config({formats.a, formats.b, formats.output}));
  const TilesAt a = k.input("input_tensor_a", formats.a);
  const TilesAt b = k.input("input_tensor_b", formats.b);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt activated = k.intermediate("activated", k.intermediate_format(), 1);
  const bool has_activation = activation != Activation::NONE;
  k.loop(columns, [&](const TileNumber& j) {
    if (has_activation) {
      k.acquire();
      k.copy_to_dest(a[j]);
      k.function(function_of(activation));
      k.pack(activated[0]);
    }
    const TileReference left = has_activation ? activated[0] : a[j];
    k.acquire();
    if (by_vector_unit) {
      k.copy_to_dest(left, 0);
      k.copy_to_dest(b[j], 1);
      k.binary_function(function);
    } else if (function == TileFunction::ADD) {
      k.add(left, b[j]);
    } else {
      k.mul(left, b[j]);
    }
    k.pack(out[j]);
  });
  return k.finish();
}

} // namespace tessera::ops
