#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tessera/bringup/ops/op_comparison.hpp"
#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/all_to_all.hpp"
#include "tessera/ops/ccl/mesh_partition.hpp"
#include "tessera/ops/ccl/point_to_point.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/conv/conv2d.hpp"
#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/data_movement/concat.hpp"
#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"
#include "tessera/ops/normalization/distributed_norm.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/pool/pool2d.hpp"
#include "tessera/ops/pool/upsample.hpp"
#include "tessera/ops/sampling/argmax.hpp"
#include "tessera/ops/sampling/sampling.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/tensor/host_values.hpp"

// Every op once or more, on a device that is watched.

namespace tessera::bringup {

using runtime::MeshDevice;
using runtime::Numerics;
using tensor::Tensor;
using test::random_values;

inline BoardSpec mesh_board(std::int64_t columns) {
  BoardSpec spec = board("t3000");
  spec.mesh_rows = 1;
  spec.mesh_columns = columns;
  return spec;
}

/// A device of `chips` in a row, watched.
struct Watched {
  std::shared_ptr<MeshDevice> device;
  test::TemporaryFolder folder;
  OpComparison comparison;

  explicit Watched(std::int64_t chips = 1, Numerics numerics = Numerics::NATIVE, double strictness = 1.0)
      : device(MeshDevice::open({.board = mesh_board(chips), .numerics = numerics, .threads = 2})),
        comparison({.folder = folder.path(), .strictness = strictness}) {
    device->add_observer(comparison);
  }
  ~Watched() { device->remove_observer(comparison); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  Tensor random(const Shape& shape, DataType dtype = DataType::BFLOAT16, float deviation = 1.0F) {
    return test::to_device(*device, random_values(shape, ++seed_, deviation), dtype);
  }
  /// Each user's on a core, as the ops of decode want them.
  Tensor heads(const Shape& shape, DataType dtype = DataType::BFLOAT16) {
    return ops::to_memory_config(random(shape, dtype), kL1HeightSharded);
  }
  Tensor integers(const Shape& shape, std::vector<std::int32_t> values) {
    return test::integers_to_device(*device, shape, std::move(values));
  }
  Tensor floats(const Shape& shape, std::vector<float> values) {
    return tensor::from_host(*device, tensor::rows_of({shape, std::move(values)}),
                             {shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "floats");
  }
  Tensor row_major(const Shape& shape, DataType dtype) {
    return tensor::from_host(*device, tensor::rows_of(random_values(shape, ++seed_)),
                             {shape, dtype, Layout::ROW_MAJOR, kDramInterleaved}, "rows");
  }
  /// A tensor whose chips hold different values.
  Tensor shards(const Shape& shape, DataType dtype = DataType::BFLOAT16) {
    const Tensor tensor = Tensor::allocate(*device, {shape, dtype, Layout::TILE, kDramInterleaved}, "shards");
    std::vector<tensor::HostRows> rows;
    for (std::int64_t chip = 0; chip < device->chips(); ++chip)
      rows.push_back(tensor::rows_of(random_values(shape, ++seed_)));
    tensor::write_rows(tensor, tensor::MeshRows(std::move(rows)));
    return tensor;
  }

 private:
  std::uint32_t seed_ = 0;
};

inline void run_eltwise(Watched& on, DataType dtype) {
  const Tensor a = on.random({1, 2, 40, 70}, dtype);
  const Tensor b = on.random({1, 2, 40, 70}, dtype);
  for (const auto activation : {ops::Activation::NONE, ops::Activation::SILU, ops::Activation::GELU,
                                ops::Activation::GELU_TANH, ops::Activation::RELU}) {
    ops::add(a, b, {.input_tensor_a_activation = activation});
    ops::mul(a, b, {.input_tensor_a_activation = activation, .dtype = DataType::BFLOAT8_B});
  }
  ops::add(on.random({1, 1, 40, 70}, dtype), on.random({1, 1, 8, 70}, dtype));
  ops::mul(a, 0.37F);
  ops::gelu(a);
  ops::gelu(a, {.fast_and_approximate_mode = true, .dtype = DataType::BFLOAT16});
  ops::tanh(a);
  ops::softcap(a, 0.5F);
  ops::plus_one(on.integers({5}, {3, -1, 0, 7, -1}));
}

inline void run_norms(Watched& on, DataType dtype) {
  const Tensor x = on.random({1, 1, 40, 96}, dtype);
  const Tensor weight = on.random({1, 1, 1, 96});
  const Tensor bias = on.random({1, 1, 1, 96});
  ops::rms_norm(x, weight, {.epsilon = 1e-3F});
  ops::layer_norm(x, {.epsilon = 1e-3F, .weight = weight, .bias = bias});
  ops::layer_norm(x, {.epsilon = 1e-3F});
  const Tensor squares = ops::rms_norm_pre_all_gather(x);
  ops::rms_norm_post_all_gather(x, squares, weight, {.epsilon = 1e-3F});
  const Tensor sums = ops::layer_norm_pre_all_gather(x);
  ops::layer_norm_post_all_gather(x, sums, weight, {.epsilon = 1e-3F, .bias = bias});
}

inline void run_products(Watched& on, DataType dtype) {
  const Tensor x = on.random({1, 1, 40, 100}, dtype);
  for (const DataType weight : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    const Tensor w = on.random({1, 1, 100, 70}, weight, 0.1F);
    ops::linear(x, w, {.dtype = dtype});
    ops::linear(x, w, {.bias = on.random({1, 1, 1, 70}), .activation = ops::Activation::SILU, .dtype = dtype});
  }
}

inline void run_mixture(Watched& on, DataType dtype) {
  const Tensor x = on.random({1, 1, 5, 64}, dtype);
  const std::vector<Tensor> up{on.random({1, 1, 64, 96}, DataType::BFLOAT8_B),
                               on.random({1, 1, 64, 96}, DataType::BFLOAT8_B),
                               on.random({1, 1, 64, 96}, DataType::BFLOAT8_B)};
  const std::vector<Tensor> down{on.random({1, 1, 96, 64}), on.random({1, 1, 96, 64}), on.random({1, 1, 96, 64})};
  const ops::Routing routing = ops::moe_routing(on.random({1, 1, 5, 3}, DataType::FLOAT32), 2);
  const Tensor hidden = ops::grouped_linear(x, ops::GroupedInput::GATHER, up, routing,
                                            {.activation = ops::Activation::SILU, .dtype = dtype});
  const Tensor y = ops::grouped_linear(hidden, ops::GroupedInput::PLACES, down, routing, {.dtype = dtype});
  ops::moe_combine(y, routing);
}

inline void run_movement(Watched& on, DataType dtype) {
  const Tensor x = on.random({1, 1, 70, 96}, dtype);
  ops::slice_rows(x, 3, 41, 2);
  ops::slice_rows(x, on.integers({1}, {7}), 20);
  ops::slice_columns(x, 17, 80);
  ops::concat_rows(on.random({1, 1, 1, 96}, dtype), x, 7);
  ops::copy(x, on.random({1, 1, 70, 96}, dtype));
  ops::to_memory_config(x, kL1Interleaved);
  ops::fold(on.random({1, 1, 2 * 6 * 4, 5}, dtype),
            {.stride = {2, 2}, .padding = {1, 0}, .batch_size = 2, .input_height = 6, .input_width = 4});
  ops::fold(on.row_major({2, 3, 4, 6}, DataType::FLOAT32),
            {.stride = {2, 3}, .use_transpose_as_fold = true, .dtype = dtype});
  const Tensor sharded = ops::interleaved_to_sharded(on.random({1, 1, 64, 256}, dtype), kL1WidthSharded);
  ops::sharded_to_interleaved(ops::reshard(sharded, kL1BlockSharded));
  ops::embedding(on.integers({1, 1, 4}, {9, -1, 0, 9}), on.row_major({1, 1, 12, 40}, DataType::BFLOAT16),
                 {.dtype = dtype});
}

inline void run_heads(Watched& on, DataType dtype) {
  const ops::QkvHeads heads = ops::nlp_create_qkv_heads(on.random({1, 1, 80, 6 * 48}, dtype),
                                                        {.num_heads = 4, .num_kv_heads = 1, .batch_size = 2});
  ops::nlp_concat_heads(heads.q);
  const ops::QkvHeads decode = ops::nlp_create_qkv_heads_decode(
      on.random({1, 1, 3, 6 * 32}, dtype), {.num_heads = 4, .num_kv_heads = 1, .memory_config = kL1HeightSharded});
  ops::nlp_concat_heads_decode(decode.q);
  ops::rotary_embedding_llama(decode.q, on.heads({1, 3, 1, 32}), on.heads({1, 3, 1, 32}), true);
  ops::rotary_embedding_llama(on.random({1, 4, 40, 32}, dtype), on.random({1, 1, 40, 32}), on.random({1, 1, 40, 32}),
                              false);
}

inline void run_attention(Watched& on, DataType dtype) {
  const Tensor q = on.random({1, 4, 70, 32}, dtype);
  const Tensor k = on.random({1, 2, 70, 32}, dtype);
  const Tensor v = on.random({1, 2, 70, 32}, dtype);
  const Tensor bias = on.row_major({1, 1, 4, 96}, DataType::FLOAT32);
  ops::scaled_dot_product_attention(q, k, v, {.scale = 0.2F});
  ops::scaled_dot_product_attention(q, k, v, {.scale = 0.2F, .sliding_window_size = 20, .softcap = 3.0F});
  ops::scaled_dot_product_attention(q, k, v, {.scale = 0.2F, .key_bias = bias});
  ops::scaled_dot_product_attention(
      q, k, v, {.scale = 0.2F, .attn_mask = on.row_major({1, 1, 1, 96}, DataType::FLOAT32), .is_causal = false});
  // Three users over blocks in disorder; the second is idle.
  const Tensor keys = on.random({7, 2, 32, 32}, DataType::BFLOAT8_B);
  const Tensor values = on.random({7, 2, 32, 32}, DataType::BFLOAT8_B);
  const Tensor table = on.integers({3, 2}, {5, 1, 0, 2, 6, 3});
  const Tensor positions = on.integers({3}, {40, -1, 7});
  ops::paged_update_cache(keys, on.heads({1, 3, 2, 32}, dtype), positions, table);
  ops::paged_fill_cache(values, on.random({1, 2, 50, 32}, dtype), table, 0);
  ops::paged_fill_cache(values, on.random({1, 2, 33, 32}, dtype), table, on.integers({1}, {2}));
  const Tensor q1 = on.random({1, 3, 4, 32}, dtype);
  ops::paged_scaled_dot_product_attention_decode(q1, keys, values, positions, table, {.scale = 0.2F});
  ops::paged_scaled_dot_product_attention_decode(q1, keys, values, positions, table,
                                                 {.scale = 0.2F,
                                                  .sliding_window_size = 35,
                                                  .softcap = 2.0F,
                                                  .key_bias = on.row_major({1, 1, 4, 64}, DataType::FLOAT32)});
}

inline void run_sampling(Watched& on) {
  const Tensor logits = on.random({1, 1, 4, 300}, DataType::FLOAT32);
  ops::argmax(logits);
  ops::sampling(logits,
                {.temperature = on.floats({4}, {0.0F, 0.8F, 1.2F, 1.0F}),
                 .k = on.integers({4}, {0, 20, 0, 0}),
                 .p = on.floats({4}, {1.0F, 0.9F, 0.7F, 1.0F}),
                 .seed = on.integers({4, 2}, {1, 2, -3, 4, 5, -6, 7, 8}),
                 .positions = on.integers({4}, {3, 9, -1, 11})},
                on.integers({1, 1, 4}, {0, 0, 0, 0}));
}

inline void run_images(Watched& on, DataType dtype) {
  const Tensor x = on.random({1, 1, 2 * 9 * 7, 8}, dtype);
  for (const std::int64_t groups : {1, 4}) {
    const ops::ConvChannels channels(8, 40, groups);
    const ops::Extent2d size{3, 3};
    const tensor::HostRows rows =
        ops::prepare_conv_weights(tensor::rows_of(random_values({40, 8 / groups * 9}, 5, 0.2F)), channels, size);
    const Tensor weight = tensor::from_host_transposed(
        *on.device, rows, {{1, 1, rows.columns, 40}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}, "weight");
    ops::conv2d(x, weight,
                {.in_channels = 8,
                 .out_channels = 40,
                 .batch_size = 2,
                 .input_height = 9,
                 .input_width = 7,
                 .kernel_size = size,
                 .stride = {2, 1},
                 .padding = {1, 1},
                 .groups = groups,
                 .bias_tensor = on.random({1, 1, 1, 40}),
                 .residual = on.random({1, 1, 2 * 5 * 7, 40}),
                 .activation = ops::Activation::RELU,
                 .dtype = dtype});
  }
  ops::Pool2dOptions pool{.batch_size = 2,
                          .input_height = 9,
                          .input_width = 7,
                          .channels = 8,
                          .kernel_size = {3, 2},
                          .stride = {2, 2},
                          .padding = {1, 0},
                          .ceil_mode = true};
  ops::max_pool2d(x, pool);
  ops::avg_pool2d(x, pool);
  pool.count_include_pad = false;
  ops::avg_pool2d(x, pool);
  pool.divisor_override = 5;
  ops::avg_pool2d(x, pool);
  ops::global_avg_pool2d(x, {.batch_size = 2});
  const ops::UpsampleOptions larger{.batch_size = 2, .input_height = 9, .input_width = 7, .scale_factor = {2, 3}};
  ops::upsample(x, larger);
  ops::UpsampleOptions bilinear = larger;
  bilinear.mode = ops::UpsampleMode::BILINEAR;
  ops::upsample(x, bilinear);
}

inline void run_collectives(Watched& on, DataType dtype) {
  const Tensor x = on.shards({1, 1, 64, 96}, dtype);
  ops::all_gather(x, 3);
  ops::all_broadcast(x);
  ops::all_to_all(x, 2, 3);
  ops::mesh_partition(x, 2);
  ops::reduce_scatter(x, 2);
  ops::all_reduce(x);
  ops::point_to_point(x, {0, 0}, {0, 1});
}

/// All of them; returns the names of the ops that were compared.
inline std::set<std::string> run_all(Watched& on, DataType dtype) {
  run_eltwise(on, dtype);
  run_norms(on, dtype);
  run_products(on, dtype);
  run_mixture(on, dtype);
  run_movement(on, dtype);
  run_heads(on, dtype);
  run_attention(on, dtype);
  run_sampling(on);
  run_images(on, dtype);
  if (on.device->chips() > 1) run_collectives(on, dtype);
  on.device->synchronize();
  std::set<std::string> names;
  for (const auto& [name, kind] : on.comparison.kinds()) names.insert(name);
  return names;
}

} // namespace tessera::bringup
