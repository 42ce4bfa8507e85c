// An MLP on four chips: its first weight cut by columns, its second by rows, the partial sums reduced and scattered.

#include <fmt/format.h>

#include <cmath>

#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/tensor/mesh.hpp"

using namespace tessera;

namespace {

constexpr std::int64_t kRows = 32, kWidth = 128, kHidden = 256;

/// Numbers that float32 adds exactly, so that the order of a sum does not show.
tensor::HostRows numbers(std::int64_t rows, std::int64_t columns) {
  tensor::HostTensor values{{rows, columns}, {}};
  for (std::int64_t i = 0; i < rows * columns; ++i) values.data.push_back(static_cast<float>(i * 7 % 13 - 6) / 8);
  return tensor::rows_of(std::move(values));
}

/// x W1 W2 on one board; the weights lie on the chips as the mappers say.
tensor::HostTensor run(const BoardSpec& board) {
  const auto device = runtime::MeshDevice::open({.board = board});
  const auto put = [&](std::int64_t rows, std::int64_t columns, const tensor::MeshMapper& mapper) {
    const TensorSpec spec{{1, 1, rows, columns}, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
    return tensor::from_host(*device, numbers(rows, columns), spec, mapper, "x");
  };
  const auto columns = tensor::shard_tensor_to_mesh(-1);
  const auto rows = tensor::shard_tensor_to_mesh(-2);
  const auto x = put(kRows, kWidth, tensor::replicate_tensor_to_mesh());
  const auto w1 = put(kWidth, kHidden, columns);
  const auto w2 = put(kHidden, kWidth, rows);

  const auto hidden = ops::linear(x, w1, {.dtype = DataType::FLOAT32});       // each chip: [32, 256 / 4]
  const auto partial = ops::linear(hidden, w2, {.dtype = DataType::FLOAT32}); // [32, 128], a partial sum
  const auto part = ops::reduce_scatter(partial, 3);                          // [32, 128 / 4] of the sum
  return tensor::to_host(part, tensor::concat_mesh_to_tensor(3));
}

} // namespace

int main() {
  BoardSpec four = board("t3000");
  four.mesh_rows = four.mesh_columns = 2;
  fmt::print("{}\n{}\n", tensor::visualize(four, {1, 1, kWidth, kHidden}, tensor::shard_tensor_to_mesh(-1)),
             tensor::visualize(four, {1, 1, kHidden, kWidth},
                               tensor::shard_tensor_2d_mesh(tensor::MeshCut{-2}, tensor::MeshCut{-1})));
  const bool right = run(four).data == run(board("n150")).data;
  fmt::print("four chips give {} one chip gives\n", right ? "what" : "something else than");
  return right ? 0 : 1;
}
