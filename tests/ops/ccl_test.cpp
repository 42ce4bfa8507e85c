// Collectives against a naive oracle, which knows elements only.

#include <cstring>
#include <random>

#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/all_to_all.hpp"
#include "tessera/ops/ccl/mesh_partition.hpp"
#include "tessera/ops/ccl/point_to_point.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/spec/sharding.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

using test::open_mesh;
using testing::ElementsAre;

/// A mesh and the axis of a collective.
struct Chips {
  std::int64_t rows;
  std::int64_t columns;
  std::optional<int> axis;

  std::int64_t count() const { return rows * columns; }
  /// The chips of each group in the order of their places.
  std::vector<std::vector<std::int64_t>> groups() const {
    std::vector<std::vector<std::int64_t>> result;
    if (!axis) {
      result.emplace_back();
      for (std::int64_t chip = 0; chip < count(); ++chip) result[0].push_back(chip);
    } else if (*axis == 0) {
      for (std::int64_t column = 0; column < columns; ++column) {
        result.emplace_back();
        for (std::int64_t row = 0; row < rows; ++row) result.back().push_back(row * columns + column);
      }
    } else {
      for (std::int64_t row = 0; row < rows; ++row) {
        result.emplace_back();
        for (std::int64_t column = 0; column < columns; ++column) result.back().push_back(row * columns + column);
      }
    }
    return result;
  }
  std::int64_t group_size() const { return static_cast<std::int64_t>(groups()[0].size()); }
};

std::string chips_name(const testing::TestParamInfo<Chips>& info) {
  const std::string axis = info.param.axis ? fmt::format("Axis{}", *info.param.axis) : "All";
  return fmt::format("{}x{}{}", info.param.rows, info.param.columns, axis);
}

/// [outer, extent, inner] around a dimension.
struct Folded {
  Folded(const Shape& shape, int dim) : extent(shape[dim]) {
    for (int i = 0; i < static_cast<int>(shape.rank()); ++i) (i < dim ? outer : i > dim ? inner : unused) *= shape[i];
  }
  std::int64_t outer = 1;
  std::int64_t extent;
  std::int64_t inner = 1;
  std::int64_t unused = 1;
};

HostTensor naive_concat(const std::vector<HostTensor>& parts, int dim) {
  const Folded part(parts[0].shape, dim);
  HostTensor result{parts[0].shape.with(dim, part.extent * static_cast<std::int64_t>(parts.size())), {}};
  for (std::int64_t outer = 0; outer < part.outer; ++outer) {
    for (const HostTensor& from : parts) {
      for (std::int64_t i = 0; i < part.extent * part.inner; ++i)
        result.data.push_back(from.data[static_cast<std::size_t>(outer * part.extent * part.inner + i)]);
    }
  }
  return result;
}

HostTensor naive_part(const HostTensor& whole, int dim, std::int64_t place, std::int64_t chips) {
  const Folded all(whole.shape, dim);
  const std::int64_t share = all.extent / chips;
  HostTensor result{whole.shape.with(dim, share), {}};
  for (std::int64_t outer = 0; outer < all.outer; ++outer) {
    for (std::int64_t i = 0; i < share * all.inner; ++i)
      result.data.push_back(whole.data[static_cast<std::size_t>((outer * all.extent + place * share) * all.inner + i)]);
  }
  return result;
}

/// In fp32, one after another.
HostTensor naive_sum(const std::vector<HostTensor>& parts) {
  HostTensor result = parts[0];
  for (std::size_t part = 1; part < parts.size(); ++part) {
    for (std::size_t i = 0; i < result.data.size(); ++i) result.data[i] += parts[part].data[i];
  }
  return result;
}

/// Random values, others on each chip, and used memory where outputs will lie.
Tensor random_on_chips(runtime::MeshDevice& device, const Shape& shape, DataType dtype, std::uint32_t seed,
                       Layout layout = Layout::TILE) {
  std::vector<tensor::HostRows> sources;
  for (std::int64_t chip = 0; chip < device.chips(); ++chip)
    sources.push_back(tensor::rows_of(random_values(shape, seed * 100 + static_cast<std::uint32_t>(chip))));
  Tensor result = Tensor::allocate(device, {shape, dtype, layout, kDramInterleaved}, "test");
  tensor::write_rows(result, tensor::MeshRows(std::move(sources)));
  const Tensor junk = Tensor::allocate(device, {{1, 1, 1600, 640}, DataType::FLOAT32}, "junk");
  device.synchronize();
  for (std::int64_t chip = 0; chip < device.chips(); ++chip)
    std::memset(junk.view().bytes(chip), 0x41, static_cast<std::size_t>(junk.spec().size_bytes()));
  return result;
}

/// What each chip of each group holds, as fp32.
std::vector<std::vector<HostTensor>> read_groups(const Tensor& tensor, const Chips& chips) {
  std::vector<std::vector<HostTensor>> result;
  for (const auto& group : chips.groups()) {
    result.emplace_back();
    for (const std::int64_t chip : group) result.back().push_back(to_host(tensor, chip));
  }
  return result;
}

/// Compares every chip's output, bit for bit, and its padding. `expected(parts, place)`: what the chip at that place of
/// a group gets, the group holding `parts`.
template <typename Expected>
void expect_on_all_chips(const Tensor& output, const Tensor& input, const Chips& chips, const Expected& expected) {
  const auto held = read_groups(input, chips);
  for (std::size_t group = 0; group < held.size(); ++group) {
    for (std::size_t place = 0; place < held[group].size(); ++place) {
      const std::int64_t chip = chips.groups()[group][place];
      const HostTensor values = expected(held[group], static_cast<std::int64_t>(place));
      const bool tile = output.layout() == Layout::TILE;
      ASSERT_EQ(output.shape(), values.shape);
      ASSERT_EQ(bits_of(to_host(output, chip)), bits_of(tile ? rounded(values, output.dtype()) : values))
          << "chip " << chip;
      if (tile) expect_zero_padding(output, chip);
    }
  }
}

class Collectives : public testing::TestWithParam<Chips> {
 protected:
  Chips chips = GetParam();
  std::int64_t size = chips.group_size();
  std::shared_ptr<runtime::MeshDevice> device = open_mesh(chips.rows, chips.columns);
  int rounds = chips.count() > 8 ? 4 : 12;
  std::mt19937 random{7};

  std::int64_t pick(std::int64_t first, std::int64_t last) {
    return first + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(last - first + 1));
  }
  DataType any_format() {
    const DataType formats[] = {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B};
    return formats[pick(0, 3)];
  }
  /// Rank 2 to 4, with tiles that are whole and that are not.
  Shape any_shape() {
    std::vector<std::int64_t> extents = {pick(1, 2), pick(1, 3), pick(0, 2) == 0 ? 64 : pick(1, 70),
                                         pick(0, 2) == 0 ? 32 : pick(1, 70)};
    extents.erase(extents.begin(), extents.begin() + pick(0, 2));
    return Shape{std::span<const std::int64_t>(extents)};
  }
  int any_dim(const Shape& shape) { return static_cast<int>(pick(0, static_cast<std::int64_t>(shape.rank()) - 1)); }
  CclOptions any_options() {
    return {.cluster_axis = chips.axis, .topology = pick(0, 1) == 0 ? Topology::Linear : Topology::Ring};
  }
  Tensor input(const Shape& shape, int round, Layout layout = Layout::TILE) {
    const DataType dtype = layout == Layout::TILE ? any_format()
                           : pick(0, 1) == 0      ? DataType::FLOAT32
                                                  : DataType::BFLOAT16;
    return random_on_chips(*device, shape, dtype, static_cast<std::uint32_t>(round), layout);
  }
};

INSTANTIATE_TEST_SUITE_P(Meshes, Collectives,
                         testing::Values(Chips{1, 1, {}}, Chips{1, 2, {}}, Chips{1, 2, 0}, Chips{1, 2, 1},
                                         Chips{2, 4, {}}, Chips{2, 4, 0}, Chips{2, 4, 1}, Chips{3, 1, {}},
                                         Chips{8, 4, {}}, Chips{8, 4, 0}, Chips{8, 4, 1}),
                         chips_name);

TEST_P(Collectives, AllGatherPutsThePartsTogetherOnEveryChip) {
  for (int round = 0; round < rounds; ++round) {
    const Shape shape = any_shape();
    const int dim = any_dim(shape);
    const Tensor x = input(shape, round, round % 4 == 3 ? Layout::ROW_MAJOR : Layout::TILE);
    SCOPED_TRACE(fmt::format("{} by {}", to_string(x.spec()), dim));
    expect_on_all_chips(all_gather(x, dim, any_options()), x, chips,
                        [&](const auto& parts, std::int64_t) { return naive_concat(parts, dim); });
  }
}

TEST_P(Collectives, AllBroadcastGivesEveryChipEachTensor) {
  for (int round = 0; round < rounds; ++round) {
    const Tensor x = input(any_shape(), round, round % 4 == 3 ? Layout::ROW_MAJOR : Layout::TILE);
    const std::vector<Tensor> outputs = all_broadcast(x, any_options());
    ASSERT_EQ(static_cast<std::int64_t>(outputs.size()), size);
    for (std::size_t from = 0; from < outputs.size(); ++from)
      expect_on_all_chips(outputs[from], x, chips, [&](const auto& parts, std::int64_t) { return parts[from]; });
  }
}

TEST_P(Collectives, ReduceScatterGivesEachChipItsPartOfTheSum) {
  for (int round = 0; round < rounds; ++round) {
    Shape shape = any_shape();
    const int dim = any_dim(shape);
    // Parts of whole tiles and of any size.
    shape = shape.with(dim, size * (dim + 2 < static_cast<int>(shape.rank()) ? 1 : pick(0, 1) == 0 ? 32 : pick(1, 40)));
    const Tensor x = input(shape, round);
    SCOPED_TRACE(fmt::format("{} by {}", to_string(x.spec()), dim));
    expect_on_all_chips(reduce_scatter(x, dim, any_options()), x, chips, [&](const auto& parts, std::int64_t place) {
      return naive_part(naive_sum(parts), dim, place, size);
    });
  }
}

TEST_P(Collectives, AllReduceGivesEveryChipTheSum) {
  for (int round = 0; round < rounds; ++round) {
    const Tensor x = input(any_shape(), round);
    SCOPED_TRACE(to_string(x.spec()));
    expect_on_all_chips(all_reduce(x, any_options()), x, chips,
                        [&](const auto& parts, std::int64_t) { return naive_sum(parts); });
  }
}

TEST_P(Collectives, AllToAllMovesTheShardsToAnotherDimension) {
  for (int round = 0; round < rounds; ++round) {
    Shape shape = any_shape();
    const int split_dim = any_dim(shape);
    const int concat_dim = any_dim(shape);
    shape = shape.with(split_dim, size * (pick(0, 1) == 0 ? 1 : pick(1, 9)));
    const Tensor x = input(shape, round, round % 4 == 3 ? Layout::ROW_MAJOR : Layout::TILE);
    SCOPED_TRACE(fmt::format("{} from {} to {}", to_string(x.spec()), concat_dim, split_dim));
    expect_on_all_chips(all_to_all(x, split_dim, concat_dim, any_options()), x, chips,
                        [&](const auto& parts, std::int64_t place) {
                          std::vector<HostTensor> cut;
                          for (const HostTensor& part : parts) cut.push_back(naive_part(part, split_dim, place, size));
                          return naive_concat(cut, concat_dim);
                        });
  }
}

TEST_P(Collectives, MeshPartitionKeepsEachChipsPart) {
  for (int round = 0; round < rounds; ++round) {
    Shape shape = any_shape();
    const int dim = any_dim(shape);
    shape = shape.with(dim, size * (dim + 2 < static_cast<int>(shape.rank()) ? 1 : pick(0, 1) == 0 ? 32 : pick(1, 40)));
    const Tensor x = input(shape, round, round % 4 == 3 ? Layout::ROW_MAJOR : Layout::TILE);
    SCOPED_TRACE(fmt::format("{} by {}", to_string(x.spec()), dim));
    expect_on_all_chips(mesh_partition(x, dim, any_options()), x, chips, [&](const auto& parts, std::int64_t place) {
      return naive_part(parts[static_cast<std::size_t>(place)], dim, place, size);
    });
  }
}

TEST_P(Collectives, PointToPointReplacesTheReceiversTensor) {
  for (int round = 0; round < rounds; ++round) {
    const Tensor x = input(any_shape(), round, round % 4 == 3 ? Layout::ROW_MAJOR : Layout::TILE);
    const std::int64_t from = pick(0, chips.count() - 1);
    const std::int64_t to = pick(0, chips.count() - 1);
    const Tensor output =
        point_to_point(x, {from / chips.columns, from % chips.columns}, {to / chips.columns, to % chips.columns});
    for (std::int64_t chip = 0; chip < chips.count(); ++chip)
      ASSERT_EQ(bits_of(to_host(output, chip)), bits_of(to_host(x, chip == to ? from : chip))) << "chip " << chip;
  }
}

TEST_P(Collectives, IntegersAreGatheredAndPartitionedAgain) {
  Tensor ids = integers_to_device(*device, {2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor gathered = all_gather(ids, 1, any_options());
  for (std::int64_t chip = 0; chip < chips.count(); ++chip) {
    const std::vector<std::int32_t> all = tensor::to_host_integers(gathered, chip);
    for (std::int64_t i = 0; i < 6 * size; ++i)
      ASSERT_EQ(all[static_cast<std::size_t>(i)], i / (3 * size) * 3 + i % 3 + 1);
  }
  const Tensor again = mesh_partition(gathered, 1, any_options());
  EXPECT_THAT(tensor::to_host_integers(again, chips.count() - 1), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(tensor::to_host_integers(all_broadcast(ids, any_options()).back()), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_P(Collectives, ReplayWithOtherInputsInATrace) {
  const Shape shape{1, 1, 40, 33 * size};
  const auto write = [&](const Tensor& to, std::uint32_t seed) {
    std::vector<tensor::HostRows> sources;
    for (std::uint32_t chip = 0; chip < device->chips(); ++chip)
      sources.push_back(tensor::rows_of(random_values(shape, seed + chip)));
    tensor::write_rows(to, tensor::MeshRows(std::move(sources)));
  };
  const Tensor x = Tensor::allocate(*device, {shape, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}, "x");
  write(x, 1);
  const CclOptions options{.cluster_axis = chips.axis};
  Tensor sum;
  Tensor parts;
  Tensor together;
  const auto step = [&] {
    sum = all_reduce(x, options);
    parts = reduce_scatter(x, 3, options);
    together = all_gather(parts, 3, options);
  };
  step();
  const runtime::Trace trace(device, 0, step);
  for (std::uint32_t replay = 1; replay < 4; ++replay) {
    write(x, 1000 * replay);
    trace.execute(false);
    const auto expected = [&](const auto& held, std::int64_t) { return naive_sum(held); };
    expect_on_all_chips(sum, x, chips, expected);
    expect_on_all_chips(together, x, chips, expected);
  }
}

/// The bytes of all chips' outputs.
std::vector<std::byte> bytes_of(const std::vector<Tensor>& tensors) {
  std::vector<std::byte> result;
  for (const Tensor& tensor : tensors) {
    tensor.device().synchronize();
    for (std::int64_t chip = 0; chip < tensor.device().chips(); ++chip) {
      const std::byte* const held = tensor.view().bytes(chip);
      result.insert(result.end(), held, held + tensor.spec().size_bytes());
    }
  }
  return result;
}

TEST(CollectivesOnThreads, GiveTheSameBitsOnAnyNumberAndAnyTopology) {
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    for (const std::int64_t columns : {64, 40}) {
      std::vector<std::byte> first;
      for (const int threads : {1, 2, 8}) {
        const auto device = open_mesh(2, 4, threads);
        const Tensor x = random_on_chips(*device, {2, 1, 50, 8 * columns}, dtype, 3);
        for (const Topology topology : {Topology::Linear, Topology::Ring}) {
          const CclOptions all{.topology = topology};
          const CclOptions axis{.cluster_axis = 1, .topology = topology};
          const std::vector<std::byte> bytes =
              bytes_of({all_gather(x, 3, all), reduce_scatter(x, 3, all), all_reduce(x, axis),
                        all_to_all(x, 3, 2, axis), mesh_partition(x, 3, axis)});
          if (first.empty()) first = bytes;
          ASSERT_EQ(bytes, first) << to_string(dtype) << " on " << threads << " threads";
        }
      }
    }
  }
}

TEST(CollectivesOfWholeTiles, AreCopiedBitForBit) {
  // Values that a second rounding would change: NaN with a payload, as no store leaves it.
  const auto device = open_mesh(1, 2);
  const Tensor x = random_on_chips(*device, {1, 1, 32, 64}, DataType::BFLOAT16, 1);
  device->synchronize();
  const std::uint16_t pattern = 0x7FE1;
  for (std::int64_t chip = 0; chip < 2; ++chip) std::memcpy(x.view().bytes(chip) + 100, &pattern, 2);
  const Tensor gathered = all_gather(x, 3);
  device->synchronize();
  for (std::int64_t chip = 0; chip < 2; ++chip) {
    for (std::int64_t part = 0; part < 2; ++part)
      EXPECT_EQ(std::memcmp(gathered.view().bytes(chip) + part * 2 * 2048, x.view().bytes(part), 2 * 2048), 0);
  }
}

class CollectiveRecords : public testing::Test {
 protected:
  std::shared_ptr<runtime::MeshDevice> open(std::int64_t rows, std::int64_t columns, std::int64_t links = 1) {
    BoardSpec spec = board("t3000");
    spec.mesh_rows = rows;
    spec.mesh_columns = columns;
    spec.links_per_neighbour = links;
    return runtime::MeshDevice::open({.board = spec, .mode = runtime::RunMode::RECORD});
  }
  static Tensor tensor(runtime::MeshDevice& device, const Shape& shape) {
    return Tensor::allocate(device, {shape, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}, "x");
  }
  template <typename Call>
  static OpRecord record_of(runtime::MeshDevice& device, Call&& call) {
    RecordKeeper keeper(device);
    call();
    EXPECT_EQ(keeper.records.size(), 1U);
    return keeper.records.at(0);
  }
  static AttributeValue attribute(const OpRecord& record, const std::string& name) {
    for (const auto& [key, value] : record.attributes) {
      if (key == name) return value;
    }
    return std::string("absent");
  }
  static void expect_traffic(const OpRecord& record, std::int64_t bytes, std::int64_t hops) {
    EXPECT_EQ(record.work.ethernet_bytes, bytes) << record.name;
    EXPECT_EQ(attribute(record, "hops"), AttributeValue(hops)) << record.name;
  }
};

TEST_F(CollectiveRecords, CountBytesAndHopsOnALineAndARing) {
  const auto device = open(2, 4);
  const Tensor x = tensor(*device, {1, 1, 32, 2048}); // 64 tiles: 131072 bytes
  const CclOptions line{.cluster_axis = 1};
  const CclOptions ring{.cluster_axis = 1, .topology = Topology::Ring};
  const CclOptions all{.topology = Topology::Ring};
  const auto record = [&](auto&& call) { return record_of(*device, call); };
  // Three of four parts pass a line's last connection, 1.5 on each side of a ring, 3.5 of one of eight.
  expect_traffic(record([&] { all_gather(x, 3, line); }), 3 * 131072, 3);
  expect_traffic(record([&] { all_gather(x, 3, ring); }), 3 * 131072 / 2, 2);
  expect_traffic(record([&] { all_gather(x, 3, all); }), 7 * 131072 / 2, 4);
  expect_traffic(record([&] { all_broadcast(x, line); }), 3 * 131072, 3);
  // A part of the sum is a quarter.
  expect_traffic(record([&] { reduce_scatter(x, 3, line); }), 3 * 32768, 3);
  expect_traffic(record([&] { reduce_scatter(x, 3, ring); }), 3 * 32768 / 2, 2);
  expect_traffic(record([&] { all_reduce(x, line); }), 6 * 32768, 6);
  expect_traffic(record([&] { all_reduce(x, ring); }), 3 * 32768, 4);
  // Two chips send two parts each through the middle; on a ring of four a chip's parts go 1 + 1 + 2 hops.
  expect_traffic(record([&] { all_to_all(x, 3, 2, line); }), 4 * 32768, 3);
  expect_traffic(record([&] { all_to_all(x, 3, 2, ring); }), 2 * 32768, 2);
  expect_traffic(record([&] { mesh_partition(x, 3, line); }), 0, 0);
  expect_traffic(record([&] { point_to_point(x, {0, 0}, {1, 3}); }), 131072, 4);
  expect_traffic(record([&] { point_to_point(x, {0, 0}, {1, 3}, {.topology = Topology::Ring}); }), 131072, 2);
  expect_traffic(record([&] { point_to_point(x, {1, 1}, {1, 1}); }), 0, 0);
  // Two chips have one connection, whatever the topology is called.
  const CclOptions pair{.cluster_axis = 0, .topology = Topology::Ring};
  expect_traffic(record([&] { all_gather(x, 3, pair); }), 131072, 1);
  expect_traffic(record([&] { all_to_all(x, 3, 2, pair); }), 65536, 1);
}

TEST_F(CollectiveRecords, CountWholePagesAndShareThemOutOverTheLinks) {
  const auto device = open(8, 4, 4);
  const Tensor x = tensor(*device, {1, 1, 5, 40}); // 2 tiles: 4096 bytes
  const auto record = record_of(*device, [&] { all_gather(x, 2, {.cluster_axis = 0}); });
  expect_traffic(record, 7 * 4096 / 4, 7);
  EXPECT_EQ(attribute(record, "num_links"), AttributeValue(std::int64_t{4}));
  expect_traffic(record_of(*device, [&] { all_gather(x, 2, {.cluster_axis = 0, .num_links = 3}); }), (7 * 4096 + 2) / 3,
                 7);
}

TEST_F(CollectiveRecords, SayWhatWasAskedAndMoved) {
  const auto device = open(2, 4);
  const Tensor x = tensor(*device, {1, 1, 32, 256});
  const OpRecord gather =
      record_of(*device, [&] { all_gather(x, 3, {.cluster_axis = 1, .topology = Topology::Ring}); });
  EXPECT_EQ(gather.name, "all_gather");
  EXPECT_THAT(names_of(gather.inputs), ElementsAre("input_tensor"));
  EXPECT_THAT(names_of(gather.outputs), ElementsAre("output"));
  EXPECT_EQ(gather.outputs[0].spec.shape, (Shape{1, 1, 32, 1024}));
  EXPECT_EQ(attribute(gather, "dim"), AttributeValue(std::int64_t{3}));
  EXPECT_EQ(attribute(gather, "cluster_axis"), AttributeValue(std::int64_t{1}));
  EXPECT_EQ(attribute(gather, "topology"), AttributeValue(std::string("Ring")));
  EXPECT_EQ(attribute(gather, "num_links"), AttributeValue(std::int64_t{1}));
  EXPECT_EQ(attribute(gather, "num_devices"), AttributeValue(std::int64_t{4}));
  EXPECT_EQ(gather.work.dram_read_bytes, 8 * 2048);
  EXPECT_EQ(gather.work.dram_write_bytes, 32 * 2048);

  const OpRecord scatter = record_of(*device, [&] { reduce_scatter(x, 3, {.memory_config = kL1Interleaved}); });
  EXPECT_EQ(attribute(scatter, "cluster_axis"), AttributeValue(std::string("absent")));
  EXPECT_EQ(attribute(scatter, "num_devices"), AttributeValue(std::int64_t{8}));
  EXPECT_EQ(attribute(scatter, "topology"), AttributeValue(std::string("Linear")));
  EXPECT_EQ(scatter.outputs[0].spec.memory_config, kL1Interleaved);
  EXPECT_EQ(scatter.work.vector_flops, 7 * 32 * 32);
  EXPECT_EQ(scatter.work.l1_bytes, 2048);
  EXPECT_EQ(record_of(*device, [&] { all_reduce(x); }).work.vector_flops, 7 * 32 * 32);

  const OpRecord broadcast = record_of(*device, [&] { all_broadcast(x, {.cluster_axis = 0}); });
  EXPECT_THAT(names_of(broadcast.outputs), ElementsAre("output_0", "output_1"));
  const OpRecord partition = record_of(*device, [&] { mesh_partition(x, 3); });
  EXPECT_EQ(partition.work.dram_read_bytes, 2048);
  EXPECT_EQ(partition.work.dram_write_bytes, 2048);
  const OpRecord move = record_of(*device, [&] { all_to_all(x, 3, 2, {.cluster_axis = 0}); });
  EXPECT_EQ(attribute(move, "split_dim"), AttributeValue(std::int64_t{3}));
  EXPECT_EQ(attribute(move, "concat_dim"), AttributeValue(std::int64_t{2}));
  const OpRecord send = record_of(*device, [&] { point_to_point(x, {0, 1}, {1, 2}); });
  EXPECT_EQ(attribute(send, "sender_coord"), AttributeValue(std::string("[0, 1]")));
  EXPECT_EQ(attribute(send, "receiver_coord"), AttributeValue(std::string("[1, 2]")));
}

TEST_F(CollectiveRecords, OutputsOfAnotherWidthKeepTheOrientation) {
  const auto device = open(1, 2);
  for (const ShardOrientation orientation : {ShardOrientation::ROW_MAJOR, ShardOrientation::COL_MAJOR}) {
    const MemoryConfig place =
        create_sharded_memory_config({1, 1, 32, 256}, {1, 8}, TensorMemoryLayout::WIDTH_SHARDED, orientation);
    const Tensor x = Tensor::allocate(*device, {{1, 1, 32, 256}, DataType::BFLOAT16, Layout::TILE, place}, "x");
    const MemoryConfig gathered = all_gather(x, 3, {}).memory_config();
    EXPECT_EQ(gathered.shard_spec->cores(), 16); // of 512 columns, not of the input's 256
    EXPECT_EQ(gathered.shard_spec->orientation, orientation);
  }
}

TEST_F(CollectiveRecords, OneChipHasNothingToDo) {
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const Tensor x = tensor(*device, {1, 1, 32, 64});
  RecordKeeper keeper(*device);
  for (const Tensor& output : {all_gather(x, 3), reduce_scatter(x, 3), all_reduce(x), all_broadcast(x)[0],
                               all_to_all(x, 3, 2), mesh_partition(x, 3), point_to_point(x, {0, 0}, {0, 0})})
    EXPECT_EQ(output.address(), x.address());
  EXPECT_TRUE(keeper.records.empty());
  const Tensor moved = all_gather(x, 3, {.memory_config = kL1Interleaved});
  EXPECT_EQ(moved.memory_config(), kL1Interleaved);
  ASSERT_EQ(keeper.records.size(), 1U);
  EXPECT_EQ(keeper.records[0].work.ethernet_bytes, 0);
}

TEST(CollectiveErrors, NameWhatIsWrong) {
  const auto device = open_mesh(2, 4);
  const Tensor x = random_on_chips(*device, {1, 1, 32, 100}, DataType::BFLOAT16, 1);
  EXPECT_INVALID(all_gather(x, 4), "[all_gather] dim must be in 0..3 for [1, 1, 32, 100]; received 4");
  EXPECT_INVALID(all_gather(x, -1), "received -1");
  EXPECT_INVALID(all_gather(x, 3, {.cluster_axis = 2}), "[all_gather] cluster_axis must be 0");
  EXPECT_INVALID(all_reduce(x, {.num_links = 2}), "[all_reduce] num_links must be in 1..1 on a t3000; received 2");
  EXPECT_INVALID(reduce_scatter(x, 3),
                 "[reduce_scatter] dimension 3 must be a multiple of the 8 chips that share it; received "
                 "[1, 1, 32, 100]; pad it to 104");
  EXPECT_INVALID(mesh_partition(x, 0, {.cluster_axis = 1}), "dimension 0 must be a multiple of the 4 chips");
  EXPECT_INVALID(all_to_all(x, 4, 2), "[all_to_all] split_dim must be in 0..3");
  EXPECT_INVALID(all_to_all(x, 2, 4), "[all_to_all] concat_dim must be in 0..3");
  EXPECT_INVALID(all_to_all(x, 3, 2), "[all_to_all] dimension 3 must be a multiple");
  EXPECT_INVALID(point_to_point(x, {0, 4}, {0, 0}),
                 "[point_to_point] sender_coord must be in (0..1, 0..3); received (0, 4)");
  EXPECT_INVALID(point_to_point(x, {0, 0}, {-1, 0}), "receiver_coord must be in (0..1, 0..3); received (-1, 0)");
  EXPECT_INVALID(all_gather(Tensor(), 3), "[all_gather] input_tensor must be of rank 2 or more");
  const Tensor ids = integers_to_device(*device, {1, 8}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_INVALID(reduce_scatter(ids, 1), "[reduce_scatter] input_tensor must be a floating-point tensor");
  EXPECT_INVALID(all_reduce(ids), "[all_reduce] input_tensor must be a floating-point tensor");
}

} // namespace
} // namespace tessera::ops
