// The circular buffers of ops, counted by hand from TT-NN's program factories.

#include "tessera/perfmodel/circular_buffers.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace tessera {
namespace {

using perfmodel::CircularBuffer;

constexpr std::int64_t kBf16Tile = 2048;
constexpr std::int64_t kBfp8Tile = 1088;

TensorSpec tiled(Shape shape, DataType dtype = DataType::BFLOAT16, MemoryConfig memory = {}) {
  return {std::move(shape), dtype, Layout::TILE, memory};
}

MemoryConfig sharded_over(std::int64_t cores, std::int64_t height, std::int64_t width) {
  return {TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, cores, height, width}};
}

std::int64_t room() {
  const ArchSpec& arch = board("n150").arch;
  return arch.l1_bytes_per_core - arch.l1_reserved_bytes_per_core;
}

std::vector<CircularBuffer> buffers_of(const OpRecord& record) {
  return perfmodel::circular_buffers(record, board("n150").arch, room());
}

const CircularBuffer& find(const std::vector<CircularBuffer>& buffers, std::string_view name) {
  const auto found = std::ranges::find(buffers, name, &CircularBuffer::name);
  if (found == buffers.end()) throw std::out_of_range(std::string(name));
  return *found;
}

TEST(CircularBuffers, OfAnElementWiseOpAreTwoTilesOfEachOperand) {
  const OpRecord add{.name = "add",
                     .inputs = {{"input_tensor_a", tiled({1, 1, 32, 4096})},
                                {"input_tensor_b", tiled({1, 1, 32, 4096}, DataType::BFLOAT8_B)}},
                     .outputs = {{"output", tiled({1, 1, 32, 4096})}}};
  EXPECT_EQ(perfmodel::l1_bytes(buffers_of(add)), 2 * (kBf16Tile + kBfp8Tile + kBf16Tile));
}

TEST(CircularBuffers, OfAShardedOperandLieInItsShard) {
  const MemoryConfig sharded = sharded_over(64, 32, 64);
  const OpRecord add{.name = "add",
                     .inputs = {{"input_tensor_a", tiled({1, 1, 32, 4096}, DataType::BFLOAT16, sharded)},
                                {"input_tensor_b", tiled({1, 1, 32, 4096})}},
                     .outputs = {{"output", tiled({1, 1, 32, 4096}, DataType::BFLOAT16, sharded)}}};
  const auto buffers = buffers_of(add);
  EXPECT_TRUE(find(buffers, "input_tensor_a").in_tensor);
  EXPECT_FALSE(find(buffers, "input_tensor_b").in_tensor);
  EXPECT_EQ(perfmodel::l1_bytes(buffers), 2 * kBf16Tile);
}

TEST(CircularBuffers, OfAnOpKeepWhatItsDecompositionPutsBetweenSteps) {
  auto steps = std::make_shared<Decomposition>();
  steps->buffers = {{"input_tensor", TileBuffer::Role::INPUT, DataType::BFLOAT16, 1, true},
                    {"between", TileBuffer::Role::INTERMEDIATE, DataType::FLOAT32, 3, true},
                    {"of another case", TileBuffer::Role::INTERMEDIATE, DataType::FLOAT32, 3, true}};
  steps->steps = {{.instruction = TileInstruction::PACK, .a = {.buffer = 1}}};
  const OpRecord op{.name = "tanh",
                    .inputs = {{"input_tensor", tiled({32, 32})}},
                    .outputs = {{"output", tiled({32, 32})}},
                    .decomposition = steps};
  EXPECT_EQ(find(buffers_of(op), "between").bytes(), 3 * 4096);
  EXPECT_EQ(buffers_of(op).size(), 3U);
}

TEST(CircularBuffers, OfADecodeMatmulHoldThreeBlocksOfABanksColumns) {
  // ff1 of Llama-3.1-8B: K is 128 tiles over 64 cores, so blocks of 2; N is 448 tiles over 12 banks.
  const OpRecord linear{.name = "linear",
                        .inputs = {{"input_tensor_a", tiled({1, 1, 32, 4096})},
                                   {"weight", tiled({1, 1, 4096, 14336}, DataType::BFLOAT8_B)}},
                        .outputs = {{"output", tiled({1, 1, 32, 14336})}}};
  const auto buffers = buffers_of(linear);
  EXPECT_EQ(find(buffers, "weight blocks").pages, 3 * 2 * 38);
  EXPECT_EQ(find(buffers, "weight blocks").page_bytes, kBfp8Tile);
  EXPECT_EQ(find(buffers, "input blocks").pages, 2 * 2);
}

TEST(CircularBuffers, OfWideLogitsAreThoseOfAPart) {
  const OpRecord linear{.name = "linear",
                        .inputs = {{"input_tensor_a", tiled({1, 1, 32, 4096})},
                                   {"weight", tiled({1, 1, 4096, 128256}, DataType::BFLOAT8_B)}},
                        .outputs = {{"output", tiled({1, 1, 32, 128256})}}};
  EXPECT_EQ(find(buffers_of(linear), "results").pages, 84); // 668 columns of 48 cores over 12 banks
}

TEST(CircularBuffers, OfANormAreARowUntilThatIsTooLarge) {
  const auto norm = [](std::int64_t width) {
    return OpRecord{.name = "rms_norm",
                    .inputs = {{"input_tensor", tiled({1, 1, 32, width})},
                               {"weight", {{1, 1, 1, width}, DataType::BFLOAT16, Layout::ROW_MAJOR, {}}}},
                    .outputs = {{"output", tiled({1, 1, 32, width})}}};
  };
  EXPECT_EQ(find(buffers_of(norm(4096)), "input_tensor").pages, 128);
  EXPECT_EQ(find(buffers_of(norm(4096)), "weight").pages, 128);
  EXPECT_EQ(find(buffers_of(norm(16384)), "input_tensor").pages, 56);
}

TEST(CircularBuffers, OfANormOfShardsAreWhatTheShardHas) {
  const TensorSpec rows = tiled({1, 1, 32, 4096}, DataType::BFLOAT16, sharded_over(32, 32, 128));
  const OpRecord norm{
      .name = "rms_norm",
      .inputs = {{"input_tensor", rows}, {"weight", {{1, 1, 1, 4096}, DataType::BFLOAT16, Layout::ROW_MAJOR, {}}}},
      .outputs = {{"output", rows}}};
  EXPECT_EQ(find(buffers_of(norm), "squares").pages, 4);
  EXPECT_EQ(find(buffers_of(norm), "weight").pages, 4);
  EXPECT_TRUE(find(buffers_of(norm), "input_tensor").in_tensor);
}

TEST(CircularBuffers, OfListsHoldAPartOfThem) {
  const OpRecord embedding{.name = "embedding",
                           .inputs = {{"input_tensor", {{1, 1, 1, 131072}, DataType::INT32, Layout::ROW_MAJOR, {}}},
                                      {"weight", {{1, 1, 1000, 64}, DataType::BFLOAT16, Layout::ROW_MAJOR, {}}}},
                           .outputs = {{"output", tiled({1, 1, 131072, 64})}}};
  EXPECT_EQ(find(buffers_of(embedding), "input_tensor").bytes(), 2 * 1024 * 4);
  EXPECT_EQ(find(buffers_of(embedding), "weight").bytes(), 2 * 64 * 2);
}

TEST(CircularBuffers, AreFittedToTheRoomThatIsThere) {
  const auto linear = [](std::int64_t rows) {
    return OpRecord{.name = "linear",
                    .inputs = {{"input_tensor_a", tiled({1, 1, rows, 4096})},
                               {"weight", tiled({1, 1, 4096, 14336}, DataType::BFLOAT8_B)}},
                    .outputs = {{"output", tiled({1, 1, rows, 14336})}}};
  };
  const TensorSpec heads = tiled({1, 32, 4096, 128});
  const OpRecord attention{.name = "scaled_dot_product_attention",
                           .inputs = {{"input_tensor_q", heads}, {"input_tensor_k", heads}, {"input_tensor_v", heads}},
                           .outputs = {{"output", heads}}};
  const ArchSpec& arch = board("n150").arch;
  for (const OpRecord& record : {linear(32), linear(2048), attention}) {
    const std::int64_t preferred = perfmodel::l1_bytes(perfmodel::circular_buffers(record, arch, room()));
    EXPECT_LE(preferred, perfmodel::l1_for_blocks(arch)) << record.name;
    EXPECT_LE(perfmodel::l1_bytes(perfmodel::circular_buffers(record, arch, preferred / 2)), preferred / 2)
        << record.name;
  }
}

TEST(CircularBuffers, OfPrefillAttentionFollowTheChunksOfThePrompt) {
  const auto attention = [](std::int64_t length, DataType dtype) {
    const TensorSpec heads = tiled({1, 32, length, 128}, dtype);
    return OpRecord{.name = "scaled_dot_product_attention",
                    .inputs = {{"input_tensor_q", heads}, {"input_tensor_k", heads}, {"input_tensor_v", heads}},
                    .outputs = {{"output", heads}}};
  };
  EXPECT_EQ(find(buffers_of(attention(4096, DataType::BFLOAT16)), "scores").pages, 8 * 8); // chunks of 256
  EXPECT_EQ(find(buffers_of(attention(4096, DataType::BFLOAT16)), "input_tensor_k").pages, 2 * 8 * 4);
  EXPECT_EQ(find(buffers_of(attention(128, DataType::BFLOAT16)), "scores").pages, 2 * 2); // chunks of 64
  // In FLOAT32 chunks of 256 would not fit.
  EXPECT_EQ(find(buffers_of(attention(4096, DataType::FLOAT32)), "scores").pages, 4 * 4);
}

TEST(CircularBuffers, OfFlashDecodeHoldWhatOtherCoresFound) {
  const OpRecord attention{.name = "paged_scaled_dot_product_attention_decode",
                           .inputs = {{"input_tensor_q", tiled({1, 1, 32, 128})},
                                      {"input_tensor_k", tiled({64, 8, 32, 128}, DataType::BFLOAT8_B)},
                                      {"input_tensor_v", tiled({64, 8, 32, 128}, DataType::BFLOAT8_B)}},
                           .outputs = {{"output", tiled({1, 1, 32, 128})}}};
  EXPECT_EQ(find(buffers_of(attention), "found by other cores").pages, (4 + 2) * 15);
  EXPECT_EQ(find(buffers_of(attention), "input_tensor_k").pages, 2 * 8 * 4);
}

TEST(CircularBuffers, OfLargeOpsFitAnEmptyL1) {
  const TensorSpec wide = tiled({1, 1, 32, 8192}, DataType::FLOAT32);
  const TensorSpec prompt = tiled({1, 1, 2048, 8192}, DataType::FLOAT32);
  const TensorSpec weight = tiled({1, 1, 8192, 28672}, DataType::FLOAT32);
  for (const TensorSpec& input : {wide, prompt}) {
    TensorSpec output = input;
    output.shape = {1, 1, input.shape[2], 28672};
    const OpRecord linear{
        .name = "linear", .inputs = {{"input_tensor_a", input}, {"weight", weight}}, .outputs = {{"output", output}}};
    EXPECT_LE(perfmodel::l1_bytes(buffers_of(linear)), room()) << to_string(input);
  }
  const OpRecord conv{.name = "conv2d",
                      .inputs = {{"input_tensor", tiled({1, 1, 50176, 512}, DataType::FLOAT32)},
                                 {"weight", tiled({1, 1, 4608, 512}, DataType::FLOAT32)}},
                      .outputs = {{"output", tiled({1, 1, 50176, 512}, DataType::FLOAT32)}}};
  EXPECT_LE(perfmodel::l1_bytes(buffers_of(conv)), room());
}

} // namespace
} // namespace tessera
