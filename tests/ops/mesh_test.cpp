// Ops on a mesh of two chips: an op runs on every chip's part of its tensors.

#include "tessera/tensor/mesh.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

/// A little decode step with most of the ops: [1, 1, 2, 32] logits of two users.
Tensor step(runtime::MeshDevice& device) {
  const auto values = [&](const Shape& shape, std::uint32_t seed) {
    return to_device(device, random_values(shape, seed), DataType::BFLOAT16);
  };
  const Tensor table =
      tensor::from_host(device, tensor::rows_of(random_values({1, 1, 10, 32}, 1)),
                        {{1, 1, 10, 32}, DataType::BFLOAT16, Layout::ROW_MAJOR, kDramInterleaved}, "t");
  const Tensor x = embedding(integers_to_device(device, {1, 1, 2}, {3, 9}), table, {});
  const Tensor normed = rms_norm(x, values({1, 1, 1, 32}, 2), {});
  const Tensor qkv = linear(normed, values({1, 1, 32, 4 * 16}, 3), {});
  const QkvHeads heads =
      nlp_create_qkv_heads_decode(qkv, {.num_heads = 2, .num_kv_heads = 1, .memory_config = kL1HeightSharded});
  const Tensor keys = values({5, 1, 32, 16}, 4);
  const Tensor pages = integers_to_device(device, {2, 2}, {4, 0, 2, 1});
  const Tensor positions = integers_to_device(device, {2}, {40, 7});
  paged_update_cache(keys, heads.k, positions, pages);
  const Tensor mixed =
      paged_scaled_dot_product_attention_decode(heads.q, keys, keys, positions, pages, {.scale = 0.25F});
  return add(nlp_concat_heads_decode(mixed), x);
}

TEST(OpsOnAMesh, EveryChipComputesWhatASingleChipDoes) {
  const auto single = runtime::MeshDevice::open({.threads = 2});
  const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .threads = 2});
  const std::vector<std::uint32_t> expected = bits_of(to_host(step(*single)));
  const Tensor output = step(*mesh);
  EXPECT_EQ(bits_of(to_host(output, 0)), expected);
  EXPECT_EQ(bits_of(to_host(output, 1)), expected);
}

/// What `x` times a weight and a bias gives on both chips, run once and replayed from a trace with other values of x.
std::vector<std::vector<std::uint32_t>> run_and_replay(const std::shared_ptr<runtime::MeshDevice>& device,
                                                       const Tensor& weight, const Tensor& bias) {
  const auto write = [](const Tensor& to, std::uint32_t seed) {
    tensor::write_rows(to, tensor::rows_of(random_values({1, 1, 5, 96}, seed)));
  };
  const Tensor x = to_device(*device, random_values({1, 1, 5, 96}, 20), DataType::BFLOAT16);
  Tensor y;
  const auto forward = [&] { y = linear(x, weight, {.bias = bias}); };
  std::vector<std::vector<std::uint32_t>> results;
  const auto note = [&] {
    for (std::int64_t chip = 0; chip < 2; ++chip) results.push_back(bits_of(to_host(y, chip)));
  };
  forward();
  note();
  const runtime::Trace trace(device, device->queue().id(), forward);
  write(x, 21);
  trace.execute(true);
  note();
  return results;
}

TEST(OpsOnAMesh, SharedWeightsGiveTheSameBitsOnAllChipsAndDevices) {
  const auto open = [](int queues) {
    return runtime::MeshDevice::open({.board = board("n300"), .threads = 2, .command_queues = queues});
  };
  const auto mesh = open(1);
  const HostTensor weight = random_values({1, 1, 96, 64}, 1);
  const HostTensor bias = random_values({1, 1, 1, 64}, 2);
  const auto place = [&](const HostTensor& values, tensor::HostMemory memory) {
    const TensorSpec spec{values.shape, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved};
    return tensor::from_host(*mesh, tensor::rows_of(values), spec, tensor::replicate_tensor_to_mesh(), "w", memory);
  };
  const auto expected = run_and_replay(mesh, place(weight, tensor::HostMemory::OF_EACH_CHIP),
                                       place(bias, tensor::HostMemory::OF_EACH_CHIP));
  ASSERT_EQ(expected.size(), 4U);
  EXPECT_NE(expected[0], expected[2]);
  const Tensor shared_weight = place(weight, tensor::HostMemory::SHARED);
  const Tensor shared_bias = place(bias, tensor::HostMemory::SHARED);
  EXPECT_EQ(run_and_replay(mesh, shared_weight, shared_bias), expected);
  const auto replica = open(2);
  const runtime::QueueScope second(*replica, 1);
  EXPECT_EQ(
      run_and_replay(replica, Tensor::share(*replica, shared_weight, "w"), Tensor::share(*replica, shared_bias, "b")),
      expected);
}

TEST(OpsOnAMesh, NoOpWritesWhatIsShared) {
  const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .mode = runtime::RunMode::RECORD});
  const TensorSpec cache{{5, 1, 32, 16}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  const Tensor shared = Tensor::allocate(*mesh, cache, "keys", {1, 1});
  const Tensor keys = by_users(to_device(*mesh, random_values({1, 2, 1, 16}, 1), DataType::BFLOAT16));
  EXPECT_THAT(
      [&] {
        paged_update_cache(shared, keys, integers_to_device(*mesh, {2}, {40, 7}),
                           integers_to_device(*mesh, {2, 2}, {4, 0, 2, 1}));
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("memory of its own")));
}

} // namespace
} // namespace tessera::ops
