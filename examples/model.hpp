#pragma once

#include <algorithm>
#include <vector>

#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::examples {

using tensor::HostTensor;
using tensor::Tensor;

/// Of the model's input and output.
inline const TensorSpec kSpec{{1, 1, 32, 256}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};

/// Host values for an input: all the same.
inline tensor::HostRows input_of(int value) {
  return tensor::rows_of({kSpec.shape, std::vector<float>(32 * 256, static_cast<float>(value))});
}

/// A model that is small enough to know its result: (x + mean(x))^2, with one mean for each row.
class Model {
 public:
  explicit Model(runtime::MeshDevice& device)
      : mean_(tensor::from_host(device, tensor::rows_of({kMean.shape, std::vector<float>(256 * 256, 1.0F / 256)}),
                                kMean, "mean")) {}

  /// [1, 1, 32, 256] -> the same, in the place of `x`.
  Tensor forward(const Tensor& x) const {
    const Tensor sum = ops::add(x, ops::linear(x, mean_, {}));
    return ops::mul(sum, sum);
  }

 private:
  inline static const TensorSpec kMean{{1, 1, 256, 256}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  Tensor mean_;
};

/// Whether this is the model's output for input_of(value): (2 value)^2, which bfloat16 holds exactly up to a value of
/// 16.
inline bool is_right(const HostTensor& output, int value) {
  return std::ranges::all_of(output.data, [=](float y) { return y == static_cast<float>(4 * value * value); });
}

} // namespace tessera::examples
