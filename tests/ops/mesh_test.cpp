// Ops on a mesh of two chips: an op runs on every chip's part of its tensors.

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
  const QkvHeads heads = nlp_create_qkv_heads_decode(qkv, {.num_heads = 2, .num_kv_heads = 1});
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

} // namespace
} // namespace tessera::ops
