#include "tessera/tensor/mesh.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tessera/base/error.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::tensor {
namespace {

using test::bits_of;
using test::open_mesh;
using test::random_values;
using test::rounded;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

#define EXPECT_INVALID(expression, part) \
  EXPECT_THAT([&] { expression; }, ThrowsMessage<base::InvalidArgument>(HasSubstr(part)))

std::vector<std::int64_t> index_of(const Shape& shape, std::int64_t number) {
  std::vector<std::int64_t> index(shape.rank());
  for (std::size_t dim = shape.rank(); dim-- > 0; number /= shape[static_cast<int>(dim)])
    index[dim] = number % shape[static_cast<int>(dim)];
  return index;
}

/// The elements of `whole` from `first` on as a tensor of `shape`, zeros beyond its end: one at a time.
HostTensor cut_out(const HostTensor& whole, const std::vector<std::int64_t>& first, const Shape& shape) {
  HostTensor part{shape, {}};
  for (std::int64_t number = 0; number < shape.volume(); ++number) {
    const std::vector<std::int64_t> index = index_of(shape, number);
    std::int64_t from = 0;
    bool inside = true;
    for (std::size_t dim = 0; dim < index.size(); ++dim) {
      const std::int64_t extent = whole.shape[static_cast<int>(dim)];
      inside = inside && first[dim] + index[dim] < extent;
      from = from * extent + first[dim] + index[dim];
    }
    part.data.push_back(inside ? whole.data[static_cast<std::size_t>(from)] : 0.0F);
  }
  return part;
}

/// What the format keeps of values: numerics knows tiles only.
HostTensor kept(const HostTensor& values, DataType dtype, Layout layout) {
  if (layout == Layout::TILE) return rounded(values, dtype);
  HostTensor result = values;
  if (dtype == DataType::BFLOAT16)
    for (float& value : result.data) value = numerics::from_bfloat16(numerics::to_bfloat16(value));
  return result;
}

struct Format {
  DataType dtype;
  Layout layout;
};
const std::vector<Format> kFormats = {{DataType::FLOAT32, Layout::TILE},      {DataType::BFLOAT16, Layout::TILE},
                                      {DataType::BFLOAT8_B, Layout::TILE},    {DataType::BFLOAT4_B, Layout::TILE},
                                      {DataType::BFLOAT2_B, Layout::TILE},    {DataType::FLOAT32, Layout::ROW_MAJOR},
                                      {DataType::BFLOAT16, Layout::ROW_MAJOR}};

/// A mapper over one or both axes, and the extents of the shards that it asks for.
struct Sharding {
  MeshMapper mapper;
  MeshComposer composer;
  Shape shard;
};

Sharding random_sharding(std::mt19937& random, const Shape& whole, std::int64_t rows, std::int64_t columns) {
  const auto pick = [&](std::int64_t below) { return static_cast<int>(random() % static_cast<std::uint64_t>(below)); };
  const auto rank = static_cast<int>(whole.rank());
  Sharding result{{}, {}, whole};
  const auto cut = [&](int dim, std::int64_t chips, std::optional<MeshCut>& mapper,
                       std::optional<MeshConcat>& composer) {
    // The least extent, or some padding.
    const std::int64_t extent = div_up(whole[dim], chips) + (pick(2) == 0 ? 0 : pick(40));
    const int named = pick(2) == 0 ? dim : dim - rank;
    mapper = MeshCut{named, extent};
    composer = MeshConcat{named, whole[dim]};
    result.shard = result.shard.with(dim, extent);
  };
  const int first = pick(rank);
  switch (pick(4)) {
    case 0:
      cut(first, rows * columns, result.mapper.mesh, result.composer.mesh);
      break;
    case 1:
      cut(first, rows, result.mapper.rows, result.composer.rows);
      break;
    case 2:
      cut(first, columns, result.mapper.columns, result.composer.columns);
      break;
    default:
      cut(first, rows, result.mapper.rows, result.composer.rows);
      if (rank > 1) cut((first + 1) % rank, columns, result.mapper.columns, result.composer.columns);
  }
  return result;
}

/// First element of chip (row, column) in each dimension.
std::vector<std::int64_t> first_of(const Sharding& sharding, std::int64_t row, std::int64_t column,
                                   std::int64_t columns) {
  const auto rank = static_cast<int>(sharding.shard.rank());
  std::vector<std::int64_t> first(sharding.shard.rank(), 0);
  const auto add = [&](const std::optional<MeshCut>& cut, std::int64_t place) {
    if (!cut) return;
    const int dim = (cut->dim + rank) % rank;
    first[static_cast<std::size_t>(dim)] = place * sharding.shard[dim];
  };
  add(sharding.mapper.mesh, row * columns + column);
  add(sharding.mapper.rows, row);
  add(sharding.mapper.columns, column);
  return first;
}

class MeshOfShape : public testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {
 protected:
  std::int64_t rows = GetParam().first;
  std::int64_t columns = GetParam().second;
  std::shared_ptr<runtime::MeshDevice> device = open_mesh(rows, columns);
};
using MeshExtents = std::pair<std::int64_t, std::int64_t>;
std::string mesh_name(const testing::TestParamInfo<MeshExtents>& mesh) {
  return fmt::format("{}x{}", mesh.param.first, mesh.param.second);
}
INSTANTIATE_TEST_SUITE_P(Meshes, MeshOfShape,
                         testing::Values(MeshExtents{1, 1}, MeshExtents{1, 2}, MeshExtents{2, 1}, MeshExtents{2, 4},
                                         MeshExtents{8, 4}),
                         mesh_name);

TEST_P(MeshOfShape, EachChipHoldsItsShardAndComposersPutThemTogetherAgain) {
  std::mt19937 random(1);
  for (int round = 0; round < 40; ++round) {
    const auto extent = [&](std::int64_t most) { return static_cast<std::int64_t>(random() % most) + 1; };
    std::vector<std::int64_t> extents = {extent(3), extent(5), extent(70), extent(90)};
    extents.erase(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(random() % 4));
    const Shape whole{std::span<const std::int64_t>(extents)};
    const Format format = kFormats[random() % kFormats.size()];
    const Sharding sharding = random_sharding(random, whole, rows, columns);
    SCOPED_TRACE(fmt::format("{} {} in shards of {}", to_string(format.dtype), whole, sharding.shard));

    const HostTensor values = random_values(whole, static_cast<std::uint32_t>(round));
    const TensorSpec spec{whole, format.dtype, format.layout, kDramInterleaved};
    { const Tensor junk = zeros(*device, spec, "junk"); }
    const Tensor tensor = from_host(*device, rows_of(values), spec, sharding.mapper, "test");
    EXPECT_EQ(tensor.spec(), shard_spec(device->board(), spec, sharding.mapper));
    ASSERT_EQ(tensor.shape(), sharding.shard);
    HostTensor expected_whole{whole, std::vector<float>(values.data.size())};
    for (std::int64_t chip = 0; chip < rows * columns; ++chip) {
      const auto first = first_of(sharding, chip / columns, chip % columns, columns);
      const HostTensor shard = kept(cut_out(values, first, sharding.shard), format.dtype, format.layout);
      ASSERT_EQ(bits_of(to_host(tensor, chip)), bits_of(shard)) << "chip " << chip;
      for (std::int64_t number = 0; number < sharding.shard.volume(); ++number) {
        std::vector<std::int64_t> index = index_of(sharding.shard, number);
        std::int64_t to = 0;
        bool inside = true;
        for (std::size_t dim = 0; dim < index.size(); ++dim) {
          index[dim] += first[dim];
          inside = inside && index[dim] < extents[dim];
          to = to * extents[dim] + index[dim];
        }
        if (inside) expected_whole.data[static_cast<std::size_t>(to)] = shard.data[static_cast<std::size_t>(number)];
      }
    }
    const HostTensor composed = to_host(tensor, sharding.composer);
    EXPECT_EQ(composed.shape, whole);
    EXPECT_EQ(bits_of(composed), bits_of(expected_whole));
  }
}

/// Rows of bfloat16 values: even ones from memory of their own, odd ones by way of scratch.
HostRows bf16_source(const HostTensor& values) {
  HostRows source = rows_of(values);
  const std::int64_t width = source.columns;
  auto patterns = std::make_shared<std::vector<std::uint16_t>>();
  for (const float value : values.data) patterns->push_back(numerics::to_bfloat16(value));
  source.bf16_row = [patterns, width](std::int64_t row, std::byte* scratch) -> const std::byte* {
    const std::uint16_t* const stored = patterns->data() + row * width;
    if (row % 2 == 0) return reinterpret_cast<const std::byte*>(stored);
    std::memcpy(scratch, stored, static_cast<std::size_t>(width) * sizeof(std::uint16_t));
    return scratch;
  };
  return source;
}

TEST_P(MeshOfShape, WeightsAreLoadedTransposedShardByShard) {
  for (const auto& [n, k] : {std::pair{64, 96}, {33, 129}, {70, 31}, {5, 300}}) {
    const HostTensor weight = rounded(random_values({n, k}, static_cast<std::uint32_t>(n)), DataType::BFLOAT16);
    HostTensor transposed{{1, 1, k, n}, std::vector<float>(weight.data.size())};
    for (std::int64_t i = 0; i < k * n; ++i)
      transposed.data[static_cast<std::size_t>(i)] = weight.data[static_cast<std::size_t>(i % n * k + i / n)];
    for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
      for (const MeshMapper& mapper :
           {shard_tensor_to_mesh(3, div_up(n, rows * columns) + 3), shard_tensor_to_mesh(-2, div_up(k, rows * columns)),
            shard_tensor_2d_mesh(MeshCut{2, div_up(k, rows) + 5}, MeshCut{3, round_up(div_up(n, columns), 32)}),
            shard_tensor_2d_mesh(std::nullopt, MeshCut{2, div_up(k, columns)}), replicate_tensor_to_mesh()}) {
        const TensorSpec spec{transposed.shape, dtype, Layout::TILE, kDramInterleaved};
        {
          const Tensor junk = from_host(*device, rows_of(random_values({1, 1, 400, 400}, 1)),
                                        {{1, 1, 400, 400}, dtype, Layout::TILE, kDramInterleaved}, "junk");
        }
        const Tensor slow = from_host_transposed(*device, rows_of(weight), spec, mapper, "slow");
        const Tensor quick = from_host_transposed(*device, bf16_source(weight), spec, mapper, "quick");
        const Tensor direct = from_host(*device, rows_of(transposed), spec, mapper, "direct");
        ASSERT_EQ(slow.spec(), direct.spec());
        device->synchronize();
        const auto bytes = static_cast<std::size_t>(direct.spec().size_bytes());
        for (std::int64_t chip = 0; chip < device->chips(); ++chip) {
          ASSERT_EQ(std::memcmp(slow.view().bytes(chip), direct.view().bytes(chip), bytes), 0)
              << n << " x " << k << " on chip " << chip;
          ASSERT_EQ(std::memcmp(quick.view().bytes(chip), direct.view().bytes(chip), bytes), 0)
              << n << " x " << k << " on chip " << chip;
        }
      }
    }
  }
}

TEST_P(MeshOfShape, BFloat16TablesAreCopiedShardByShard) {
  const HostTensor table = rounded(random_values({1, 1, 50, 70}, 1), DataType::BFLOAT16);
  const TensorSpec spec{table.shape, DataType::BFLOAT16, Layout::ROW_MAJOR, kDramInterleaved};
  const std::int64_t chips = rows * columns;
  for (const MeshMapper& mapper :
       {shard_tensor_to_mesh(2, div_up(50, chips)), shard_tensor_to_mesh(3, div_up(70, chips) + 1)}) {
    const Tensor quick = from_host(*device, bf16_source(table), spec, mapper, "quick");
    const Tensor slow = from_host(*device, rows_of(table), spec, mapper, "slow");
    for (std::int64_t chip = 0; chip < chips; ++chip)
      ASSERT_EQ(bits_of(to_host(quick, chip)), bits_of(to_host(slow, chip)));
  }
}

TEST_P(MeshOfShape, IntegersAreShardedPaddedAndPutTogether) {
  const std::int64_t chips = rows * columns;
  std::vector<std::int32_t> values(5 * 37);
  std::iota(values.begin(), values.end(), -20);
  const TensorSpec spec{{5, 37}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};
  const std::int64_t extent = div_up(37, chips) + 1;
  const Tensor tensor = from_host(*device, values, spec, shard_tensor_to_mesh(1, extent), "ids");
  for (std::int64_t chip = 0; chip < chips; ++chip) {
    const std::vector<std::int32_t> shard = to_host_integers(tensor, chip);
    for (std::int64_t i = 0; i < 5 * extent; ++i) {
      const std::int64_t column = chip * extent + i % extent;
      ASSERT_EQ(shard[static_cast<std::size_t>(i)],
                column < 37 ? values[static_cast<std::size_t>(i / extent * 37 + column)] : 0);
    }
  }
  EXPECT_EQ(to_host_integers(tensor, concat_mesh_to_tensor(1, 37)), values);
  for (std::int32_t& value : values) value *= 3;
  write(tensor, values, spec.shape, shard_tensor_to_mesh(1, extent));
  EXPECT_EQ(begin_read_integers(tensor, concat_mesh_to_tensor(-1, 37)).get(), values);
}

TEST_P(MeshOfShape, AReplicatedTensorIsTheSameOnEveryChip) {
  const HostTensor values = random_values({1, 2, 33, 40}, 1);
  const TensorSpec spec{values.shape, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
  const Tensor tensor = from_host(*device, rows_of(values), spec, replicate_tensor_to_mesh(), "test");
  for (std::int64_t chip = 0; chip < rows * columns; ++chip) EXPECT_EQ(to_host(tensor, chip).data, values.data);
  EXPECT_EQ(to_host(tensor, concat_mesh_2d_to_tensor(std::nullopt, std::nullopt)).data, values.data);
}

TEST(Mesh, ComposersKeepThePaddingUnlessToldTheExtent) {
  const auto device = open_mesh(1, 2);
  const HostTensor values{{1, 5}, {1, 2, 3, 4, 5}};
  const TensorSpec spec{values.shape, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
  const Tensor tensor = from_host(*device, rows_of(values), spec, shard_tensor_to_mesh(1, 3), "test");
  EXPECT_THAT(to_host(tensor, concat_mesh_to_tensor(1)).data, ElementsAre(1, 2, 3, 4, 5, 0));
  EXPECT_THAT(to_host(tensor, concat_mesh_to_tensor(1, 5)).data, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(to_host(tensor, concat_mesh_to_tensor(0)).data, ElementsAre(1, 2, 3, 4, 5, 0));
  EXPECT_THAT(to_host(tensor, concat_mesh_to_tensor(1, 2)).data, ElementsAre(1, 2));
}

TEST(Mesh, EachShardReadsNoMoreOfTheSourceThanItsPart) {
  const auto device = open_mesh(1, 2);
  std::atomic<std::int64_t> elements = 0;
  const HostRows source{64, 96, [&](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
                          elements += count;
                          std::fill_n(out, count, static_cast<float>(row + first));
                        }};
  const TensorSpec spec{{1, 1, 96, 64}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  for (const int dim : {2, 3}) {
    elements = 0;
    const Tensor weight = from_host_transposed(*device, source, spec, shard_tensor_to_mesh(dim), "weight");
    device->synchronize();
    EXPECT_EQ(elements, 64 * 96) << "dimension " << dim;
  }
}

TEST(Mesh, SlicesOfSlicesKeepTheirRowsApart) {
  const HostTensor values = rounded(random_values({9, 50}, 3), DataType::BFLOAT16);
  const HostRows nested = slice(slice(bf16_source(values), 1, 10, 4, 60), 2, 9, 7, 45);
  ASSERT_EQ(nested.rows, 9);
  ASSERT_EQ(nested.columns, 45);
  std::vector<std::byte> scratch(90);
  for (std::int64_t row = 0; row < 9; ++row) {
    const std::byte* const found = nested.bf16_row(row, scratch.data());
    std::vector<float> read(45);
    nested.read(row, 0, 45, read.data());
    for (std::int64_t column = 0; column < 45; ++column) {
      const bool inside = row + 3 < 9 && column + 11 < 50;
      const float expected = inside ? values.data[static_cast<std::size_t>((row + 3) * 50 + column + 11)] : 0.0F;
      std::uint16_t pattern = 0;
      std::memcpy(&pattern, found + column * 2, 2);
      EXPECT_EQ(numerics::from_bfloat16(pattern), expected) << row << ", " << column;
      EXPECT_EQ(read[static_cast<std::size_t>(column)], expected) << row << ", " << column;
    }
  }
}

TEST(Mesh, APictureShowsWhichShardLiesWhere) {
  EXPECT_EQ(visualize(board("n300"), {1, 1, 64, 100}, shard_tensor_to_mesh(-1, 64)),
            "[1, 1, 64, 100] on 1 x 2 chips, dim 3 over all chips\n"
            "+--------------------------+--------------------------+\n"
            "| chip 0                   | chip 1                   |\n"
            "| dim 3: 0..63             | dim 3: 64..99 + 28 zeros |\n"
            "+--------------------------+--------------------------+\n");
  BoardSpec four = board("t3000");
  four.mesh_columns = 2;
  EXPECT_EQ(visualize(four, {64, 1}, shard_tensor_2d_mesh(MeshCut{0}, MeshCut{1, 1})),
            "[64, 1] on 2 x 2 chips, dim 0 over the mesh's rows, dim 1 over the mesh's columns\n"
            "+----------------+----------------+\n"
            "| chip 0         | chip 1         |\n"
            "| dim 0: 0..31   | dim 0: 0..31   |\n"
            "| dim 1: 0..0    | dim 1: 1 zeros |\n"
            "+----------------+----------------+\n"
            "| chip 2         | chip 3         |\n"
            "| dim 0: 32..63  | dim 0: 32..63  |\n"
            "| dim 1: 0..0    | dim 1: 1 zeros |\n"
            "+----------------+----------------+\n");
  EXPECT_EQ(visualize(board("n300"), {4, 4}, replicate_tensor_to_mesh()),
            "[4, 4] on 1 x 2 chips\n"
            "+--------+--------+\n"
            "| chip 0 | chip 1 |\n"
            "| all    | all    |\n"
            "+--------+--------+\n");
}

TEST(Mesh, RefusesWhatCannotBeCutOrPutTogether) {
  const auto device = open_mesh(2, 4);
  const BoardSpec& board = device->board();
  const Shape whole{1, 1, 32, 100};
  EXPECT_INVALID(mesh_parts(board, whole, shard_tensor_to_mesh(4)), "a dimension must be in -4..3");
  EXPECT_INVALID(mesh_parts(board, whole, shard_tensor_to_mesh(-5)), "received -5");
  EXPECT_INVALID(mesh_parts(board, whole, shard_tensor_to_mesh(3)),
                 "dimension 3 of [1, 1, 32, 100] must be a multiple of the 8 chips that it is cut over, unless each "
                 "shard's extent is given; give 13 or more");
  EXPECT_INVALID(mesh_parts(board, whole, shard_tensor_to_mesh(3, 12)), "shards of 13 or more");
  EXPECT_INVALID(mesh_parts(board, whole, shard_tensor_2d_mesh(MeshCut{3, 50}, MeshCut{-1, 25})),
                 "need different dimensions");
  EXPECT_INVALID(mesh_parts(board, whole, {.mesh = MeshCut{2}, .rows = MeshCut{3}}), "received both");

  const TensorSpec spec{whole, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
  const HostRows source = rows_of(random_values(whole, 1));
  const Tensor tensor = from_host(*device, source, spec, shard_tensor_to_mesh(3, 13), "test");
  EXPECT_INVALID(from_host(*device, source, {{1, 1, 32, 96}, DataType::FLOAT32}, shard_tensor_to_mesh(3), "test"),
                 "[1, 1, 32, 96] values are required; received 32 x 100");
  EXPECT_INVALID(from_host_transposed(*device, source, spec, shard_tensor_to_mesh(2), "test"), "received 32 x 100");
  EXPECT_INVALID(write_rows(tensor, source, whole, shard_tensor_to_mesh(3, 14)), "a tensor of the shards' shape");
  EXPECT_INVALID(from_host_transposed(*device, rows_of(random_values({100, 32}, 1)), spec,
                                      shard_tensor_2d_mesh(MeshCut{0, 1}, std::nullopt), "test"),
                 "only the last two dimensions may be cut");
  EXPECT_INVALID(to_host(tensor, concat_mesh_to_tensor(4)), "[mesh_composer] a dimension must be in -4..3");
  EXPECT_INVALID(to_host(tensor, concat_mesh_to_tensor(3, 105)), "an extent of 1 to 104 is required");
  EXPECT_INVALID(to_host_integers(tensor, concat_mesh_to_tensor(3)), "an integer dtype in ROW_MAJOR is required");
  EXPECT_INVALID(from_host(*device, std::vector<std::int32_t>(7), {{8}, DataType::INT32, Layout::ROW_MAJOR},
                           shard_tensor_to_mesh(0), "test"),
                 "the 8 values of [8] are required");
}

} // namespace
} // namespace tessera::tensor
