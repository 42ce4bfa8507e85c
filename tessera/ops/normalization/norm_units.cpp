#include "tessera/ops/normalization/norm_units.hpp"

#include "tessera/ops/exact/kernel_builder.hpp"

namespace tessera::ops {
namespace {

/// to = 1 / sqrt(variance + epsilon)
void inverse_root(KernelBuilder& k, const TilesAt& variance, float epsilon, const TilesAt& to) {
  k.acquire();
  k.copy_to_dest(variance[0]);
  k.function(TileFunction::ADD_SCALAR, epsilon);
  k.function(TileFunction::RSQRT);
  k.pack(to[0]);
}

/// to = the sum over a row of x * x, times the scaler
void mean_of_squares(KernelBuilder& k, const TilesAt& x, std::int64_t columns, const TilesAt& scaler,
                     const TilesAt& squares, const TileReference& to) {
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.mul(x[j], x[j]);
    k.pack(squares[j]);
  });
  k.acquire();
  k.loop(columns, [&](const TileNumber& j) { k.reduce_sum(squares[j], scaler[0]); });
  k.pack(to);
}

} // namespace

NormFormats formats_of(const Tensor& input, const NormParameters& parameters, const Tensor& output) {
  const auto format = [](const Tensor& tensor) { return tensor.defined() ? tensor.dtype() : DataType::BFLOAT16; };
  return {input.dtype(), format(parameters.weight), format(parameters.bias), output.dtype()};
}

ComputeConfig norm_config() {
  return {.math_fidelity = MathFidelity::HiFi4, .fp32_dest_acc_en = true};
}

Decomposition rms_norm_units(std::int64_t columns, float epsilon, const NormFormats& formats) {
  KernelBuilder k(norm_config());
  const DataType wide = k.intermediate_format();
  const TilesAt x = k.input("input_tensor", formats.input);
  const TilesAt scaler = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt gamma = k.input_tile("weight", formats.weight);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt squares = k.intermediate("squares", wide, columns);
  const TilesAt variance = k.intermediate("variance", wide, 1);
  const TilesAt inverse = k.intermediate("inverse", wide, 1);
  const TilesAt scaled = k.intermediate("scaled", wide, 1);
  mean_of_squares(k, x, columns, scaler, squares, variance[0]);
  inverse_root(k, variance, epsilon, inverse);
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.mul(x[j], inverse[0], Broadcast::COLUMN);
    k.pack(scaled[0]);
    k.acquire();
    k.mul(scaled[0], gamma[j], Broadcast::ROW);
    k.pack(out[j]);
  });
  return k.finish();
}

Decomposition layer_norm_units(std::int64_t columns, bool padded, float epsilon, const NormFormats& formats) {
  KernelBuilder k(norm_config());
  const DataType wide = k.intermediate_format();
  const TilesAt x = k.input("input_tensor", formats.input);
  const TilesAt scaler = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt gamma = k.input_tile("weight", formats.weight);
  const TilesAt beta = k.input_tile("bias", formats.bias);
  const TilesAt mask = padded ? k.input_tile("mask", DataType::BFLOAT16) : TilesAt(-1);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt mean = k.intermediate("mean", wide, 1);
  const TilesAt deviation = k.intermediate("deviation", wide, columns);
  const TilesAt squares = k.intermediate("squares", wide, columns);
  const TilesAt variance = k.intermediate("variance", wide, 1);
  const TilesAt inverse = k.intermediate("inverse", wide, 1);
  const TilesAt scaled = k.intermediate("scaled", wide, 1);
  k.acquire();
  k.loop(columns, [&](const TileNumber& j) { k.reduce_sum(x[j], scaler[0]); });
  k.pack(mean[0]);
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.sub(x[j], mean[0], Broadcast::COLUMN);
    k.pack(deviation[j]);
    if (!padded) return;
    k.acquire(); // in the padding the mean is left over
    k.mul(deviation[j], mask[j], Broadcast::ROW);
    k.pack(deviation[j]);
  });
  mean_of_squares(k, deviation, columns, scaler, squares, variance[0]);
  inverse_root(k, variance, epsilon, inverse);
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.mul(deviation[j], inverse[0], Broadcast::COLUMN);
    k.pack(scaled[0]);
    k.acquire();
    k.mul(scaled[0], gamma[j], Broadcast::ROW);
    k.pack(scaled[0]);
    k.acquire();
    k.add(scaled[0], beta[j], Broadcast::ROW);
    k.pack(out[j]);
  });
  return k.finish();
}

Decomposition pre_all_gather_units(std::int64_t columns, bool layer_norm, const NormFormats& formats) {
  KernelBuilder k(norm_config());
  const TilesAt x = k.input("input_tensor", formats.input);
  const TilesAt scaler = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt squares = k.intermediate("squares", k.intermediate_format(), columns);
  mean_of_squares(k, x, columns, scaler, squares, out[0]);
  if (layer_norm) {
    k.acquire();
    k.loop(columns, [&](const TileNumber& j) { k.reduce_sum(x[j], scaler[0]); });
    k.pack(out[1]);
  }
  return k.finish();
}

Decomposition post_all_gather_units(std::int64_t columns, std::int64_t parts, bool layer_norm, float epsilon,
                                    const NormFormats& formats) {
  KernelBuilder k(norm_config());
  const DataType wide = k.intermediate_format();
  const TilesAt x = k.input("input_tensor", formats.input);
  const TilesAt stats = k.input("stats", DataType::FLOAT32);
  const TilesAt scaler = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt gamma = k.input_tile("weight", formats.weight);
  const TilesAt beta = layer_norm ? k.input_tile("bias", formats.bias) : TilesAt(-1);
  const TilesAt out = k.output("output", formats.output);
  const TilesAt mean = k.intermediate("mean", wide, 1);
  const TilesAt squared = k.intermediate("squared", wide, 1);
  const TilesAt variance = k.intermediate("variance", wide, 1);
  const TilesAt inverse = k.intermediate("inverse", wide, 1);
  const TilesAt scaled = k.intermediate("scaled", wide, 1);
  const std::int64_t of_part = layer_norm ? 2 : 1; // tiles of stats
  k.acquire();
  k.loop(parts, [&](const TileNumber& part) { k.reduce_sum(stats[part * of_part], scaler[0]); });
  k.pack(variance[0]);
  if (layer_norm) {
    k.acquire();
    k.loop(parts, [&](const TileNumber& part) { k.reduce_sum(stats[part * of_part + 1], scaler[0]); });
    k.pack(mean[0]);
    k.acquire();
    k.mul(mean[0], mean[0]);
    k.pack(squared[0]);
    k.acquire();
    k.sub(variance[0], squared[0]);
    k.pack(variance[0]);
  }
  inverse_root(k, variance, epsilon, inverse);
  k.loop(columns, [&](const TileNumber& j) {
    const TileReference source = layer_norm ? scaled[0] : x[j];
    if (layer_norm) {
      k.acquire();
      k.sub(x[j], mean[0], Broadcast::COLUMN);
      k.pack(scaled[0]);
    }
    k.acquire();
    k.mul(source, inverse[0], Broadcast::COLUMN);
    k.pack(scaled[0]);
    k.acquire();
    k.mul(scaled[0], gamma[j], Broadcast::ROW);
    k.pack(layer_norm ? scaled[0] : out[j]);
    if (!layer_norm) return;
    k.acquire();
    k.add(scaled[0], beta[j], Broadcast::ROW);
    k.pack(out[j]);
  });
  return k.finish();
}

} // namespace tessera::ops
