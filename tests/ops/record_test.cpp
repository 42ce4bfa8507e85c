// What ops write into their records: names, operands, attributes and work.

#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

using ::testing::ElementsAre;

const AttributeValue& attribute(const OpRecord& record, const std::string& name) {
  for (const auto& [key, value] : record.attributes) {
    if (key == name) return value;
  }
  throw std::out_of_range(name);
}

/// In record mode: no data is needed, and large tensors cost nothing.
class RecordTest : public testing::Test {
 protected:
  std::shared_ptr<runtime::MeshDevice> device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});

  Tensor allocate(const Shape& shape, DataType dtype = DataType::BFLOAT16, Layout layout = Layout::TILE,
                  const MemoryConfig& place = kDramInterleaved) {
    return Tensor::allocate(*device, {shape, dtype, layout, place}, "x");
  }
  Tensor integers(const Shape& shape) { return allocate(shape, DataType::INT32, Layout::ROW_MAJOR); }

  /// The record of the only op that `call` enqueues.
  template <typename Call>
  OpRecord record_of(Call&& call) {
    RecordKeeper keeper(*device);
    const runtime::Scope scope(*device, "layers.3");
    call();
    EXPECT_EQ(keeper.records.size(), 1U);
    EXPECT_EQ(keeper.records.at(0).scope, "layers.3");
    return keeper.records.at(0);
  }
};

// What a decode step of a mixture costs: of eight experts the two that its one row can go to.
TEST_F(RecordTest, GroupedLinearCountsTheExpertsThatCanBeRead) {
  const std::vector<Tensor> weights(8, allocate({1, 1, 64, 96}));
  const auto record_of_rows = [&](std::int64_t rows) {
    const Routing routing = moe_routing(allocate({1, 1, rows, 8}, DataType::FLOAT32), 2);
    const Tensor x = allocate({1, 1, rows, 64}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved);
    return record_of([&] { grouped_linear(x, GroupedInput::GATHER, weights, routing, {}); });
  };
  const OpRecord one = record_of_rows(1);
  EXPECT_EQ(std::get<std::int64_t>(attribute(one, "experts_read")), 2);
  EXPECT_EQ(one.work.matmul_flops, 2 * 2 * 64 * 96);
  EXPECT_EQ(one.work.dram_read_bytes, 2 * weights.front().spec().size_bytes());
  EXPECT_EQ(std::get<std::int64_t>(attribute(record_of_rows(32), "experts_read")), 8);
}

TEST_F(RecordTest, LinearCountsUnpaddedFlopsAndWholePages) {
  const Tensor a = allocate({1, 1, 3, 100}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved);
  const Tensor w = allocate({1, 1, 100, 70}, DataType::BFLOAT8_B);
  const OpRecord record = record_of([&] { linear(a, w, {}); });
  EXPECT_EQ(record.name, "linear");
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor_a", "weight"));
  EXPECT_THAT(names_of(record.outputs), ElementsAre("output"));
  EXPECT_EQ(record.inputs[1].spec, w.spec());
  EXPECT_EQ(record.inputs[1].address, w.address());
  EXPECT_EQ(record.outputs[0].spec.shape, (Shape{1, 1, 3, 70}));
  EXPECT_EQ(record.work.matmul_flops, 2 * 3 * 100 * 70);
  EXPECT_EQ(record.work.fidelity, MathFidelity::HiFi2);
  EXPECT_EQ(record.work.dram_read_bytes, 4 * 3 * 1088);
  EXPECT_EQ(record.work.dram_write_bytes, 0);
  EXPECT_EQ(record.work.l1_bytes, (4 + 3) * 2048); // input and, beside it, output
  EXPECT_EQ(std::get<std::string>(attribute(record, "math_fidelity")), "HiFi2");
}

TEST_F(RecordTest, LinearNamesItsBiasAndTakesTheFidelityAskedFor) {
  const OpRecord record = record_of([&] {
    linear(allocate({1, 1, 1, 32}), allocate({1, 1, 32, 32}, DataType::BFLOAT4_B),
           {.bias = allocate({1, 1, 1, 32}),
            .compute_kernel_config = ComputeConfig{.math_fidelity = MathFidelity::HiFi3}});
  });
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor_a", "weight", "bias"));
  EXPECT_EQ(record.work.fidelity, MathFidelity::HiFi3);
}

TEST_F(RecordTest, EltwiseCountsAFlopForEachElementAndTheActivationsMore) {
  const Tensor a = allocate({1, 1, 3, 40});
  const OpRecord sum = record_of([&] { add(a, a); });
  EXPECT_EQ(sum.name, "add");
  EXPECT_THAT(names_of(sum.inputs), ElementsAre("input_tensor_a", "input_tensor_b"));
  EXPECT_EQ(sum.work.vector_flops, 120);
  EXPECT_EQ(sum.work.matmul_flops, 0);
  EXPECT_EQ(sum.work.dram_read_bytes, 2 * 2 * 2048);
  EXPECT_EQ(sum.work.dram_write_bytes, 2 * 2048);
  EXPECT_EQ(std::get<std::string>(attribute(sum, "input_tensor_a_activation")), "NONE");
  const OpRecord gate = record_of([&] { mul(a, a, {.input_tensor_a_activation = Activation::SILU}); });
  EXPECT_EQ(gate.name, "mul");
  EXPECT_GT(gate.work.vector_flops, 120);
  EXPECT_EQ(std::get<std::string>(attribute(gate, "input_tensor_a_activation")), "SILU");
}

TEST_F(RecordTest, GeluNamesItsForm) {
  for (const bool fast : {false, true}) {
    const OpRecord record = record_of([&] { gelu(allocate({1, 1, 3, 40}), {.fast_and_approximate_mode = fast}); });
    EXPECT_EQ(record.name, "gelu");
    EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor"));
    EXPECT_EQ(std::get<bool>(attribute(record, "fast_and_approximate_mode")), fast);
    EXPECT_GT(record.work.vector_flops, 120);
  }
}

TEST_F(RecordTest, RmsNormNamesItsEpsilon) {
  const OpRecord record = record_of([&] {
    rms_norm(allocate({1, 1, 3, 40}), allocate({1, 1, 1, 40}), {.epsilon = 0.5F});
  });
  EXPECT_EQ(record.name, "rms_norm");
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor", "weight"));
  EXPECT_EQ(std::get<double>(attribute(record, "epsilon")), 0.5);
  EXPECT_EQ(record.work.vector_flops, 4 * 120);
}

TEST_F(RecordTest, EmbeddingReadsTheRowsThatItLooksUpOnly) {
  const OpRecord record = record_of([&] {
    embedding(integers({1, 1, 5}), allocate({1, 1, 1000, 64}, DataType::BFLOAT16, Layout::ROW_MAJOR), {});
  });
  EXPECT_EQ(record.name, "embedding");
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor", "weight"));
  EXPECT_EQ(record.work.dram_read_bytes, 5 * 64 * 2);
  EXPECT_EQ(record.work.dram_write_bytes, 2 * 2048);
}

TEST_F(RecordTest, SliceMovesTheRowsThatItTakesOnly) {
  const OpRecord record = record_of([&] { slice_rows(allocate({1, 1, 640, 64}), 600, 601); });
  EXPECT_EQ(record.name, "slice");
  EXPECT_EQ(record.work.dram_read_bytes, 2 * 2048);
  EXPECT_EQ(record.work.dram_write_bytes, 2 * 2048);
  EXPECT_EQ(std::get<std::int64_t>(attribute(record, "first_row")), 600);
  EXPECT_EQ(std::get<std::int64_t>(attribute(record, "last_row")), 601);
}

TEST_F(RecordTest, HeadsNameTheirParts) {
  const Tensor fused = allocate({1, 1, 5, 8 * 16});
  const CreateHeadsOptions options{.num_heads = 4, .num_kv_heads = 2};
  const OpRecord prefill = record_of([&] { nlp_create_qkv_heads(fused, options); });
  EXPECT_EQ(prefill.name, "nlp_create_qkv_heads");
  EXPECT_THAT(names_of(prefill.outputs), ElementsAre("q", "k", "v"));
  EXPECT_EQ(prefill.outputs[0].spec.shape, (Shape{1, 4, 5, 16}));
  EXPECT_EQ(std::get<std::int64_t>(attribute(prefill, "num_kv_heads")), 2);
  CreateHeadsOptions of_users = options;
  of_users.memory_config = kL1HeightSharded;
  const OpRecord decode = record_of([&] { nlp_create_qkv_heads_decode(fused, of_users); });
  EXPECT_EQ(decode.name, "nlp_create_qkv_heads_decode");
  EXPECT_EQ(decode.outputs[1].spec.shape, (Shape{1, 5, 2, 16}));
  EXPECT_EQ(record_of([&] { nlp_concat_heads(allocate({1, 4, 5, 16})); }).name, "nlp_concat_heads");
  const Tensor heads = by_users(allocate({1, 4, 5, 16}));
  EXPECT_EQ(record_of([&] { nlp_concat_heads_decode(heads); }).name, "nlp_concat_heads_decode");
}

TEST_F(RecordTest, RotaryNamesItsMode) {
  const Tensor angles = allocate({1, 1, 5, 16});
  const OpRecord record = record_of([&] { rotary_embedding_llama(allocate({1, 4, 5, 16}), angles, angles, false); });
  EXPECT_EQ(record.name, "rotary_embedding_llama");
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor", "cos", "sin"));
  EXPECT_FALSE(std::get<bool>(attribute(record, "is_decode_mode")));
  EXPECT_EQ(record.work.vector_flops, 3 * 4 * 5 * 16);
}

TEST_F(RecordTest, PrefillAttentionCountsTheCausalHalf) {
  const Tensor q = allocate({1, 4, 100, 16});
  const Tensor k = allocate({1, 2, 100, 16});
  const OpRecord record = record_of([&] { scaled_dot_product_attention(q, k, k, {.scale = 0.25F}); });
  EXPECT_EQ(record.name, "scaled_dot_product_attention");
  EXPECT_THAT(names_of(record.inputs), ElementsAre("input_tensor_q", "input_tensor_k", "input_tensor_v"));
  EXPECT_EQ(record.work.matmul_flops, 4 * 4 * 16 * (100 * 101 / 2));
  EXPECT_TRUE(std::get<bool>(attribute(record, "is_causal")));
  const OpRecord windowed =
      record_of([&] { scaled_dot_product_attention(q, k, k, {.scale = 0.25F, .sliding_window_size = 10}); });
  // The first 10 positions see 1 .. 10 keys, the others 10.
  EXPECT_EQ(windowed.work.matmul_flops, 4 * 4 * 16 * (10 * 11 / 2 + 90 * 10));
  EXPECT_EQ(std::get<std::int64_t>(attribute(windowed, "sliding_window_size")), 10);
}

TEST_F(RecordTest, DecodeAttentionNamesCacheAndTable) {
  const Tensor cache = allocate({8, 2, 32, 16}, DataType::BFLOAT8_B);
  const OpRecord record = record_of([&] {
    paged_scaled_dot_product_attention_decode(allocate({1, 4, 4, 16}), cache, cache, integers({4}), integers({4, 2}),
                                              {});
  });
  EXPECT_EQ(record.name, "paged_scaled_dot_product_attention_decode");
  EXPECT_THAT(names_of(record.inputs),
              ElementsAre("input_tensor_q", "input_tensor_k", "input_tensor_v", "cur_pos_tensor", "page_table_tensor"));
  EXPECT_EQ(record.work.matmul_flops, 4 * 4 * 4 * 16 * 64); // the whole context of 2 blocks
  EXPECT_GT(record.work.dram_read_bytes, 2 * 8 * 2 * 1088);
}

TEST_F(RecordTest, CacheOpsCountTheTilesThatTheyWrite) {
  const Tensor cache = allocate({8, 2, 32, 40}, DataType::BFLOAT8_B);
  const OpRecord fill = record_of([&] { paged_fill_cache(cache, allocate({1, 2, 33, 40}), integers({2, 4}), 1); });
  EXPECT_EQ(fill.name, "paged_fill_cache");
  EXPECT_THAT(names_of(fill.inputs), ElementsAre("cache_tensor", "input_tensor", "page_table"));
  EXPECT_EQ(std::get<std::int64_t>(attribute(fill, "batch_idx")), 1);
  EXPECT_EQ(fill.work.dram_read_bytes, 2 * 2 * 2 * 2048);
  EXPECT_EQ(fill.work.dram_write_bytes, 2 * 2 * 2 * 1088);
  const Tensor rows = by_users(allocate({1, 2, 2, 40}));
  const OpRecord update = record_of([&] { paged_update_cache(cache, rows, integers({2}), integers({2, 4})); });
  EXPECT_EQ(update.name, "paged_update_cache");
  EXPECT_THAT(names_of(update.inputs), ElementsAre("cache_tensor", "input_tensor", "update_idxs_tensor", "page_table"));
  EXPECT_EQ(update.work.dram_write_bytes, 2 * 2 * 2 * 1088);
}

TEST(RecordsOfBothModes, AreTheSame) {
  const auto run = [](runtime::RunMode mode) {
    const auto device = runtime::MeshDevice::open({.mode = mode, .threads = 2});
    RecordKeeper keeper(*device);
    const auto host = [](std::int64_t rows, std::int64_t columns) {
      return tensor::HostRows{rows, columns, [](std::int64_t, std::int64_t, std::int64_t count, float* out) {
                                std::fill_n(out, count, 0.5F);
                              }};
    };
    const auto bf16 = [](std::int64_t rows, std::int64_t columns, const MemoryConfig& place) {
      return TensorSpec{{1, 1, rows, columns}, DataType::BFLOAT16, Layout::TILE, place};
    };
    const Tensor weight = from_host_transposed(*device, host(70, 100), bf16(100, 70, kDramInterleaved), "w");
    Tensor x = from_host(*device, host(3, 100), bf16(3, 100, kL1Interleaved), "x");
    x = linear(x, weight, {});
    x = mul(x, x, {.input_tensor_a_activation = Activation::SILU});
    x = slice_rows(add(x, x), 1, 2);
    device->synchronize();
    return keeper.records;
  };
  const std::vector<OpRecord> recorded = run(runtime::RunMode::RECORD);
  const std::vector<OpRecord> executed = run(runtime::RunMode::EXECUTE);
  ASSERT_EQ(recorded.size(), 6U);
  ASSERT_EQ(executed.size(), recorded.size());
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    EXPECT_EQ(recorded[i].name, executed[i].name);
    ASSERT_EQ(recorded[i].outputs.size(), executed[i].outputs.size());
    EXPECT_EQ(recorded[i].outputs[0].spec, executed[i].outputs[0].spec);
    EXPECT_EQ(recorded[i].outputs[0].address, executed[i].outputs[0].address);
    EXPECT_EQ(recorded[i].attributes, executed[i].attributes);
    EXPECT_EQ(recorded[i].work.matmul_flops, executed[i].work.matmul_flops);
    EXPECT_EQ(recorded[i].work.l1_bytes, executed[i].work.l1_bytes);
  }
}

} // namespace
} // namespace tessera::ops
