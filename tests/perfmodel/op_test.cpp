#include <gtest/gtest.h>

#include "tessera/perfmodel/op.hpp"

namespace tessera::perfmodel {
namespace {

TensorSpec spec(const Shape& shape, BufferType type = BufferType::DRAM, DataType dtype = DataType::BFLOAT16) {
  return {.shape = shape, .dtype = dtype, .memory_config = {.buffer_type = type}};
}

OpRecord unary(std::int64_t rows, BufferType type) {
  return {.name = "gelu",
          .inputs = {{.name = "input_tensor", .spec = spec({1, 1, rows, 2048}, type)}},
          .outputs = {{.name = "output", .spec = spec({1, 1, rows, 2048}, type)}}};
}

Prediction on(const char* name, const OpRecord& record, std::int64_t position = 0) {
  return predict_op(record, board(name), {.position = position}, constants());
}

OpRecord attention_decode(std::int64_t users, std::int64_t kv_heads, std::int64_t context) {
  const std::int64_t blocks = context / 32;
  OpRecord record{.name = "paged_scaled_dot_product_attention_decode"};
  record.inputs = {{.name = "input_tensor_q", .spec = spec({1, users, 4 * kv_heads, 128})},
                   {.name = "input_tensor_k",
                    .spec = spec({users * blocks, kv_heads, 32, 128}, BufferType::DRAM, DataType::BFLOAT8_B)},
                   {.name = "page_table_tensor",
                    .spec = {.shape = {users, blocks}, .dtype = DataType::INT32, .layout = Layout::ROW_MAJOR}}};
  return record;
}

OpRecord all_gather(std::int64_t devices, std::int64_t hops, std::int64_t bytes) {
  OpRecord record{.name = "all_gather"};
  record.attributes = {{"num_devices", devices}, {"hops", hops}, {"topology", std::string("Linear")}};
  record.work.ethernet_bytes = bytes;
  return record;
}

TEST(PredictOp, OfShardsInL1IsFasterThanOfDram) {
  EXPECT_LT(on("n150", unary(2048, BufferType::L1)).time_ns, on("n150", unary(2048, BufferType::DRAM)).time_ns / 4);
  EXPECT_EQ(on("n150", unary(2048, BufferType::DRAM)).bound, Bound::DRAM);
  EXPECT_EQ(on("n150", unary(32, BufferType::L1)).bound, Bound::LAUNCH);
}

TEST(PredictOp, TakesTheCoresThatTheRecordNames) {
  OpRecord record = unary(4096, BufferType::DRAM);
  const double all = on("n150", record).time_ns;
  record.attributes.emplace_back("cores", std::int64_t{8});
  EXPECT_GT(on("n150", record).time_ns, 6 * all);
}

TEST(PredictOp, OfDecodeAttentionGrowsWithThePositionNotWithTheCache) {
  const double near = on("n150", attention_decode(1, 8, 65536), 128).time_ns;
  const double far = on("n150", attention_decode(1, 8, 65536), 32768).time_ns;
  EXPECT_GT(far, 5 * near);
  EXPECT_EQ(on("n150", attention_decode(1, 8, 65536)).time_ns,
            on("n150", attention_decode(1, 8, 65536), 99999).time_ns);
  EXPECT_EQ(near, on("n150", attention_decode(1, 8, 1024), 128).time_ns);
}

TEST(PredictOp, OfASlidingWindowReadsNoFurtherBack) {
  OpRecord record = attention_decode(1, 8, 65536);
  record.attributes.emplace_back("sliding_window_size", std::int64_t{4096});
  EXPECT_EQ(on("n150", record, 60000).time_ns, on("n150", record, 4096).time_ns);
}

// The vendor's closed form for a line of Wormhole chips: 4.47 + 1.91 (N - 1) us + bytes / 11.8 GB/s.
TEST(PredictOp, OfCollectivesIsTheClosedForm) {
  EXPECT_NEAR(on("t3000", all_gather(4, 3, 1'180'000)).time_ns, 4470 + 3 * 1910 + 100'000, 1);
  EXPECT_EQ(on("t3000", all_gather(4, 3, 1'180'000)).bound, Bound::ETHERNET);
  EXPECT_GT(on("t3000", all_gather(2, 1, 1'180'000)).time_ns, 4470 + 1910 + 180'000);
}

} // namespace
} // namespace tessera::perfmodel
