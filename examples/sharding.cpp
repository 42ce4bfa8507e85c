// Cuts a tensor over a grid of cores, works on the shards, and prints what is said about shards that do not fit.

#include <fmt/format.h>

#include "tessera/base/error.hpp"
#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/spec/sharding.hpp"
#include "tessera/tensor/mesh.hpp"
#include "tessera/tensor/transfer.hpp"

using namespace tessera;

namespace {

constexpr auto kWidthSharded = TensorMemoryLayout::WIDTH_SHARDED;

TensorSpec place(const Shape& shape, const MemoryConfig& memory_config) {
  return {shape, DataType::BFLOAT16, Layout::TILE, memory_config};
}

bool all_refused = true;

void refused(const TensorSpec& spec) {
  const auto device = runtime::MeshDevice::open();
  try {
    tensor::Tensor::allocate(*device, spec, "x");
    all_refused = false;
  } catch (const base::InvalidArgument& error) {
    fmt::print("{}\n", error.what());
  }
}

/// Whether shards give what an interleaved tensor gives.
bool same_values() {
  const auto device = runtime::MeshDevice::open();
  tensor::HostTensor values{Shape{1, 1, 32, 2048}, std::vector<float>(32 * 2048)};
  for (std::size_t i = 0; i < values.data.size(); ++i) values.data[i] = static_cast<float>(i % 251);
  const tensor::Tensor x =
      tensor::from_host(*device, tensor::rows_of(values), place(values.shape, kDramInterleaved), "x");
  const MemoryConfig width = create_sharded_memory_config({1, 1, 32, 2048}, {.rows = 4, .columns = 8}, kWidthSharded);
  const tensor::Tensor sharded = ops::interleaved_to_sharded(x, width); // 32x64 on each of 32 cores
  const tensor::Tensor sum = ops::add(sharded, sharded);                // keeps the shards of its first operand
  const tensor::Tensor back = ops::sharded_to_interleaved(sum);
  fmt::print("{}\n{}\n", to_string(sum.spec()), to_string(back.spec()));
  return sum.memory_config() == width && tensor::to_host(back).data == tensor::to_host(ops::add(x, x)).data;
}

} // namespace

int main() {
  const bool same = same_values();
  refused(place({1, 1, 32, 2048}, {kWidthSharded, BufferType::L1, ShardSpec{1, 8, 32, 64}}));
  refused(place({1, 1, 64, 2048}, {kWidthSharded, BufferType::L1, ShardSpec{4, 8, 32, 64}}));
  refused(place({1, 1, 32, 1536}, {kWidthSharded, BufferType::L1, ShardSpec{4, 8, 32, 48}}));
  refused(place({1, 1, 32, 2304}, {kWidthSharded, BufferType::L1, ShardSpec{8, 9, 32, 32}}));
  return same && all_refused ? 0 : 1;
}
