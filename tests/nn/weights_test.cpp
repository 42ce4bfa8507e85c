#include "tessera/nn/weights.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tessera/base/error.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// All elements of a matrix that is read in pieces of three.
std::vector<float> read_all(const HostRows& source) {
  std::vector<float> values(static_cast<std::size_t>(source.rows * source.columns));
  for (std::int64_t row = 0; row < source.rows; ++row) {
    for (std::int64_t first = 0; first < source.columns; first += 3) {
      source.read(row, first, std::min<std::int64_t>(3, source.columns - first),
                  values.data() + row * source.columns + first);
    }
  }
  return values;
}

HostRows matrix(std::int64_t rows, std::int64_t columns, float start) {
  HostTensor values{{rows, columns}, {}};
  for (std::int64_t i = 0; i < rows * columns; ++i) values.data.push_back(start + static_cast<float>(i));
  return tensor::rows_of(values);
}

TEST(ConcatRows, PutsMatricesOneBelowTheOther) {
  const HostRows joined = concat_rows({matrix(1, 2, 0), matrix(2, 2, 10), matrix(1, 2, 20)});
  EXPECT_EQ(joined.rows, 4);
  EXPECT_EQ(joined.columns, 2);
  EXPECT_THAT(read_all(joined), ElementsAre(0, 1, 10, 11, 12, 13, 20, 21));
}

TEST(InterleaveRotary, MakesHalvesNeighboursWithinEachHead) {
  // Two heads of 6 rows: row i of the first half stands beside row i of the second.
  EXPECT_THAT(read_all(interleave_rotary(matrix(12, 1, 0), 6, 6)), ElementsAre(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11));
}

TEST(InterleaveRotary, LeavesTheRowsThatDoNotTurn) {
  EXPECT_THAT(read_all(interleave_rotary(matrix(12, 1, 0), 6, 4)), ElementsAre(0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11));
}

TEST(Transposed, MakesColumnsRows) {
  EXPECT_THAT(read_all(transposed(matrix(2, 3, 0))), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(Raised, AddsToEachValue) {
  EXPECT_THAT(read_all(raised(matrix(1, 3, 0), 1.0F)), ElementsAre(1, 2, 3));
}

TEST(HalfSplitIndex, IsAPermutationOfEachHead) {
  for (const std::int64_t head_dim : {2, 8, 64}) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < 3 * head_dim; ++i) {
      const std::int64_t from = half_split_index(i, head_dim, head_dim);
      EXPECT_EQ(from / head_dim, i / head_dim);
      EXPECT_TRUE(seen.insert(from).second);
    }
  }
}

TEST(AsColumn, TurnsAVectorIntoRowsOfOne) {
  const HostRows column = transposed(matrix(1, 3, 5));
  EXPECT_EQ(column.rows, 3);
  EXPECT_EQ(column.columns, 1);
  EXPECT_THAT(read_all(column), ElementsAre(5, 6, 7));
}

class WeightLoaderTest : public testing::Test {
 protected:
  SmallDecoder small;
  std::shared_ptr<runtime::MeshDevice> device = runtime::MeshDevice::open();
  WeightLoader loader{*device, small.checkpoint(), false, DataType::BFLOAT16};
};

TEST_F(WeightLoaderTest, ReadsMatricesAndVectors) {
  const HostRows up = loader.rows("model.layers.0.mlp.up_proj.weight", 72, 48);
  EXPECT_EQ(read_all(up), small.weight("model.layers.0.mlp.up_proj.weight").data);
  const HostRows norm = loader.rows("model.norm.weight", 1, 48);
  EXPECT_EQ(read_all(norm), small.weight("model.norm.weight").data);
}

TEST_F(WeightLoaderTest, PutsAMatmulsWeightOnTheDeviceTransposed) {
  const HostTensor& stored = small.weight("model.layers.0.mlp.up_proj.weight");
  const Tensor weight =
      loader.matmul_weight(loader.rows("model.layers.0.mlp.up_proj.weight", 72, 48), DataType::BFLOAT16, "w3");
  EXPECT_EQ(weight.spec(), (TensorSpec{{1, 1, 48, 72}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}));
  const HostTensor held = to_host(weight);
  for (std::int64_t n = 0; n < 72; ++n) {
    for (std::int64_t k = 0; k < 48; ++k) {
      const float value = stored.row(n)[static_cast<std::size_t>(k)];
      ASSERT_EQ(held.row(k)[static_cast<std::size_t>(n)], numerics::from_bfloat16(numerics::to_bfloat16(value)));
    }
  }
}

TEST_F(WeightLoaderTest, PutsVectorsInTilesAndTablesInRows) {
  const Tensor vector = loader.vector(loader.rows("model.norm.weight", 1, 48), DataType::FLOAT32, "norm");
  EXPECT_EQ(vector.spec(), (TensorSpec{{1, 1, 1, 48}, DataType::FLOAT32, Layout::TILE, kDramInterleaved}));
  EXPECT_EQ(to_host(vector).data, small.weight("model.norm.weight").data);
  const Tensor table = loader.table(loader.rows("model.embed_tokens.weight", 50, 48), DataType::FLOAT32, "embedding");
  EXPECT_EQ(table.spec(), (TensorSpec{{1, 1, 50, 48}, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}));
  EXPECT_EQ(to_host(table).data, small.weight("model.embed_tokens.weight").data);
}

TEST_F(WeightLoaderTest, OutlivesNothingThatItsRowsNeed) {
  HostRows norm;
  std::vector<float> expected;
  {
    const SmallDecoder other;
    expected = other.weight("model.norm.weight").data;
    norm = WeightLoader(*device, other.checkpoint(), false, DataType::BFLOAT16).rows("model.norm.weight", 1, 48);
  }
  EXPECT_EQ(read_all(norm), expected); // though folder, checkpoint and loader are gone
}

TEST_F(WeightLoaderTest, RefusesMissingMisshapenAndIntegerTensors) {
  EXPECT_THAT([&] { loader.rows("model.norms.weight", 1, 48); },
              ThrowsMessage<base::IoError>(HasSubstr("model.norms.weight")));
  EXPECT_THAT([&] { loader.rows("model.norm.weight", 1, 64); },
              ThrowsMessage<base::IoError>(HasSubstr("must have the shape [64]; the file holds [48]")));
  EXPECT_THAT([&] { loader.rows("model.norm.weight", 48, 1); },
              ThrowsMessage<base::IoError>(HasSubstr("must have the shape [48, 1]; the file holds [48]")));
  test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "llama"})");
  const std::vector<std::int32_t> integers{1, 2};
  checkpoint::write_safetensors(folder.path() / "model.safetensors",
                                std::vector<checkpoint::OutputTensor>{
                                    {"x", checkpoint::StorageType::I32, {2}, std::as_bytes(std::span(integers))}});
  const auto checkpoint = checkpoint::Checkpoint::open(folder.path().string());
  const WeightLoader other(*device, checkpoint, false, DataType::BFLOAT16);
  EXPECT_THAT([&] { other.rows("x", 1, 2); },
              ThrowsMessage<base::IoError>(HasSubstr("x must be F32, F16 or BF16; the file holds I32")));
}

TEST_F(WeightLoaderTest, FormatIsThePresetsUnlessWeightsStayAsStored) {
  const SmallDecoder halves(small_config(), checkpoint::StorageType::BF16);
  const std::string norm = "model.norm.weight";
  EXPECT_EQ(loader.format(DataType::BFLOAT8_B, {norm}), DataType::BFLOAT8_B);
  EXPECT_EQ(WeightLoader(*device, small.checkpoint(), true, DataType::BFLOAT16).format(DataType::BFLOAT8_B, {norm}),
            DataType::FLOAT32);
  EXPECT_EQ(WeightLoader(*device, halves.checkpoint(), true, DataType::FLOAT32).format(DataType::BFLOAT8_B, {norm}),
            DataType::BFLOAT16);
}

TEST_F(WeightLoaderTest, WithoutWeightsOnlyADeviceInRecordModeWillDo) {
  const auto checkpoint = checkpoint::Checkpoint::open_config(small.folder().path().string());
  EXPECT_THAT([&] { WeightLoader(*device, checkpoint, false, DataType::BFLOAT16); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("a checkpoint with weights is required")));
  const auto recording = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const WeightLoader planner(*recording, checkpoint, true, DataType::FLOAT32);
  EXPECT_EQ(planner.format(DataType::BFLOAT8_B, {"anything"}), DataType::FLOAT32);
  const Tensor weight = planner.matmul_weight(planner.rows("anything", 100, 200), DataType::BFLOAT8_B, "w");
  EXPECT_EQ(weight.shape(), (Shape{1, 1, 200, 100}));
}

} // namespace
} // namespace tessera::nn
