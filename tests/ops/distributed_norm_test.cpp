// Norms of rows whose width is cut over chips, against the norm of the whole row in double precision.

#include "tessera/ops/normalization/distributed_norm.hpp"

#include <random>

#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/tensor/mesh.hpp"
#include "tests/ops/naive_norms.hpp"

namespace tessera::ops {
namespace {

using test::open_mesh;

/// A mesh, and the axis along which rows are cut; none: over all chips.
struct Cut {
  std::int64_t mesh_rows;
  std::int64_t mesh_columns;
  std::optional<int> axis;

  std::int64_t parts() const { return !axis ? mesh_rows * mesh_columns : *axis == 0 ? mesh_rows : mesh_columns; }
};

std::string cut_name(const testing::TestParamInfo<Cut>& info) {
  const std::string axis = info.param.axis ? fmt::format("Axis{}", *info.param.axis) : "All";
  return fmt::format("{}x{}{}", info.param.mesh_rows, info.param.mesh_columns, axis);
}

class DistributedNorm : public testing::TestWithParam<Cut> {
 protected:
  Cut cut = GetParam();
  std::shared_ptr<runtime::MeshDevice> device = open_mesh(cut.mesh_rows, cut.mesh_columns);
  std::mt19937 random{3};

  std::int64_t pick(std::int64_t first, std::int64_t last) {
    return first + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(last - first + 1));
  }
  Shape any_shape(std::int64_t width) {
    return pick(0, 1) == 0 ? Shape{1, 1, pick(1, 40), width} : Shape{pick(1, 2), pick(1, 3), pick(1, 35), width};
  }
  /// A part's extent as the models have it: whole tiles, zeros at the end of the whole; else what the parts divide.
  std::int64_t extent(std::int64_t width) const {
    const std::int64_t share = div_up(width, cut.parts());
    return width % cut.parts() == 0 ? share : round_up(share, kTileWidth);
  }
  tensor::MeshMapper mapper(std::int64_t width) const {
    const tensor::MeshCut along{-1, extent(width)};
    if (!cut.axis) return tensor::shard_tensor_to_mesh(along.dim, along.extent);
    return *cut.axis == 0 ? tensor::shard_tensor_2d_mesh(along, {}) : tensor::shard_tensor_2d_mesh({}, along);
  }
  Tensor shards(const HostTensor& values, DataType dtype) {
    // Memory that held something else lies under what is allocated next.
    { const Tensor junk = to_device(*device, {{1, 1, 160, 320}, std::vector<float>(160 * 320, 7.0F)}, dtype); }
    return tensor::from_host(*device, tensor::rows_of(values), {values.shape, dtype, Layout::TILE, kDramInterleaved},
                             mapper(values.shape[-1]), "x");
  }
  Tensor gathered(const Tensor& stats) const {
    return all_gather(stats, static_cast<int>(stats.shape().rank()) - 1, {.cluster_axis = cut.axis});
  }
  HostTensor whole(const Tensor& parts, std::int64_t width) const {
    const tensor::MeshConcat along{-1, width};
    if (!cut.axis) return tensor::to_host(parts, tensor::concat_mesh_to_tensor(along.dim, along.extent));
    return tensor::to_host(parts, *cut.axis == 0 ? tensor::concat_mesh_2d_to_tensor(along, {})
                                                 : tensor::concat_mesh_2d_to_tensor({}, along));
  }
  /// What lies beyond the true width in the parts' own columns is zero.
  void expect_zeros_beyond(const Tensor& parts, std::int64_t width) const {
    for (std::int64_t chip = 0; chip < device->chips(); ++chip) {
      expect_zero_padding(parts, chip);
      const std::int64_t row = chip / cut.mesh_columns;
      const std::int64_t column = chip % cut.mesh_columns;
      const std::int64_t place = !cut.axis ? chip : *cut.axis == 0 ? row : column;
      const HostTensor part = to_host(parts, chip);
      const std::int64_t columns = part.shape[-1];
      for (std::int64_t i = 0; i < part.shape.volume(); ++i) {
        if (place * columns + i % columns < width) continue;
        ASSERT_EQ(part.data[static_cast<std::size_t>(i)], 0.0F) << "chip " << chip << ", element " << i;
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Meshes, DistributedNorm,
                         testing::Values(Cut{1, 1, {}}, Cut{1, 2, {}}, Cut{2, 4, {}}, Cut{2, 4, 0}, Cut{2, 4, 1}),
                         cut_name);

constexpr std::array kFormatsOfParts = {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B};

TEST_P(DistributedNorm, RmsNormIsThatOfTheWholeRow) {
  for (int round = 0; round < 9; ++round) {
    const DataType dtype = kFormatsOfParts[static_cast<std::size_t>(round % 3)];
    const std::int64_t width = pick(1, 8 * 40);
    const HostTensor x = random_values(any_shape(width), static_cast<std::uint32_t>(round));
    const HostTensor weight = random_values({1, 1, 1, width}, 50);
    const Tensor part = shards(x, dtype);
    const Tensor stats = rms_norm_pre_all_gather(part);
    ASSERT_EQ(stats.dtype(), DataType::FLOAT32);
    ASSERT_EQ(stats.shape(), part.shape().with(-1, 32));
    const Tensor y = rms_norm_post_all_gather(part, gathered(stats), shards(weight, DataType::BFLOAT16),
                                              {.epsilon = 1e-3F, .width = width, .dtype = DataType::FLOAT32});
    // The shards' own blocks of 16 columns: what the device holds is read back.
    expect_close(whole(y, width), naive_rms_norm(whole(part, width), rounded(weight, DataType::BFLOAT16), 1e-3F),
                 DataType::FLOAT32);
    expect_zeros_beyond(y, width);
  }
}

TEST_P(DistributedNorm, LayerNormIsThatOfTheWholeRow) {
  for (int round = 0; round < 9; ++round) {
    const DataType dtype = kFormatsOfParts[static_cast<std::size_t>(round % 3)];
    const std::int64_t width = pick(2, 8 * 40);
    const HostTensor x = random_values(any_shape(width), static_cast<std::uint32_t>(round));
    const HostTensor weight = random_values({1, 1, 1, width}, 50);
    const HostTensor bias = random_values({1, 1, 1, width}, 51);
    const bool has_bias = round != 4;
    const Tensor part = shards(x, dtype);
    const Tensor stats = layer_norm_pre_all_gather(part);
    ASSERT_EQ(stats.dtype(), DataType::FLOAT32);
    ASSERT_EQ(stats.shape(), part.shape().with(-1, 64));
    const Tensor y = layer_norm_post_all_gather(part, gathered(stats), shards(weight, DataType::BFLOAT16),
                                                {.epsilon = 1e-3F,
                                                 .width = width,
                                                 .bias = has_bias ? shards(bias, DataType::BFLOAT16) : Tensor(),
                                                 .dtype = DataType::FLOAT32});
    HostTensor stored_bias = rounded(bias, DataType::BFLOAT16);
    if (!has_bias) stored_bias.data.assign(stored_bias.data.size(), 0.0F);
    expect_close(whole(y, width),
                 naive_layer_norm(whole(part, width), rounded(weight, DataType::BFLOAT16), stored_bias, 1e-3F),
                 DataType::FLOAT32);
    expect_zeros_beyond(y, width);
  }
}

TEST_P(DistributedNorm, AMeanOfManyDeviationsCostsNoPrecision) {
  const std::int64_t width = 8 * 37 + 5; // with padding on all meshes but one chip
  HostTensor x = random_values({1, 1, 6, width}, 1);
  for (float& value : x.data) value += 10000.0F;
  const HostTensor weight = random_values({1, 1, 1, width}, 2);
  const HostTensor bias = random_values({1, 1, 1, width}, 3);
  const Tensor part = shards(x, DataType::FLOAT32);
  const Tensor y =
      layer_norm_post_all_gather(part, gathered(layer_norm_pre_all_gather(part)), shards(weight, DataType::FLOAT32),
                                 {.width = width, .bias = shards(bias, DataType::FLOAT32)});
  expect_close(whole(y, width), naive_layer_norm(x, weight, bias, 1e-5F), DataType::FLOAT32);
}

TEST_P(DistributedNorm, TheWidthIsThatOfThePartsUnlessGiven) {
  const std::int64_t width = 64 * cut.parts();
  const HostTensor x = random_values({1, 1, 3, width}, 1);
  const HostTensor weight = random_values({1, 1, 1, width}, 2);
  const Tensor part = shards(x, DataType::FLOAT32);
  const Tensor y = rms_norm_post_all_gather(part, gathered(rms_norm_pre_all_gather(part)),
                                            shards(weight, DataType::FLOAT32), {.epsilon = 1e-5F});
  expect_close(whole(y, width), naive_rms_norm(x, weight, 1e-5F), DataType::FLOAT32);
}

using DistributedNormOps = OpsTest;

TEST_F(DistributedNormOps, OnePartGivesTheBitsOfRmsNorm) {
  const Tensor x = random({1, 1, 9, 200}, 1);
  const Tensor weight = random({1, 1, 1, 200}, 2);
  const Tensor y = rms_norm_post_all_gather(x, rms_norm_pre_all_gather(x), weight, {.epsilon = 1e-5F});
  EXPECT_EQ(bits_of(to_host(y)), bits_of(to_host(rms_norm(x, weight, {.epsilon = 1e-5F}))));
}

TEST_F(DistributedNormOps, RecordsNameStatsAndWidth) {
  const Tensor x = random({1, 1, 2, 64}, 1);
  const Tensor stats = random({1, 1, 2, 4 * 64}, 2, DataType::FLOAT32);
  const Tensor weight = random({1, 1, 1, 64}, 3);
  RecordKeeper keeper(*device);
  layer_norm_pre_all_gather(x);
  layer_norm_post_all_gather(x, stats, weight, {.epsilon = 0.5F, .width = 250, .bias = weight});
  device->synchronize();
  ASSERT_EQ(keeper.records.size(), 2U);
  EXPECT_EQ(keeper.records[0].name, "layer_norm_pre_all_gather");
  EXPECT_EQ(keeper.records[1].name, "layer_norm_post_all_gather");
  EXPECT_THAT(names_of(keeper.records[1].inputs), testing::ElementsAre("input_tensor", "stats", "weight", "bias"));
  const Attributes expected = {{"epsilon", 0.5}, {"width", std::int64_t{250}}};
  EXPECT_EQ(keeper.records[1].attributes, expected);
}

TEST_F(DistributedNormOps, RefusesStatsAndWidthsThatDoNotFit) {
  const Tensor x = random({1, 1, 4, 64}, 1);
  const Tensor weight = random({1, 1, 1, 64}, 2);
  const Tensor stats = rms_norm_pre_all_gather(x);
  EXPECT_INVALID(rms_norm_pre_all_gather(Tensor()), "[rms_norm_pre_all_gather] input_tensor must be");
  EXPECT_INVALID(rms_norm_post_all_gather(x, random({1, 1, 4, 33}, 1), weight, {}),
                 "[rms_norm_post_all_gather] stats must have the input's rows, [1, 1, 4, 64], and 32 columns for each");
  EXPECT_INVALID(rms_norm_post_all_gather(x, random({1, 1, 3, 32}, 1), weight, {}),
                 "[rms_norm_post_all_gather] stats must have the input's rows");
  EXPECT_INVALID(layer_norm_post_all_gather(x, stats, weight, {}),
                 "[layer_norm_post_all_gather] stats must have the input's rows, [1, 1, 4, 64], and 64 columns");
  EXPECT_INVALID(rms_norm_post_all_gather(x, stats, weight, {.width = 65}),
                 "[rms_norm_post_all_gather] width must be that of the whole row, at most 1 parts of 64 elements");
  EXPECT_INVALID(rms_norm_post_all_gather(x, stats, Tensor(), {}), "[rms_norm_post_all_gather] weight must be");
  EXPECT_INVALID(rms_norm_post_all_gather(x, stats, random({1, 1, 1, 32}, 1), {}),
                 "[rms_norm_post_all_gather] weight must have the shape [1, 1, 1, 64]");
}

} // namespace
} // namespace tessera::ops
