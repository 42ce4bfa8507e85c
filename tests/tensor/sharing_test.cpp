#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/tensor/mesh.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::tensor {
namespace {

using runtime::MeshDevice;
using runtime::Sharing;
using test::open_mesh;
using test::random_values;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TensorSpec weight_spec(const Shape& shape = {1, 1, 1024, 1024}) {
  return {shape, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
}

/// Bytes of real memory behind a tensor's own place on a chip.
std::int64_t resident_bytes(const Tensor& tensor, std::int64_t chip) {
  const runtime::DeviceMemory& memory = tensor.device().memory(BufferType::DRAM);
  const std::int64_t page = ::sysconf(_SC_PAGESIZE);
  std::byte* const begin = memory.at(tensor.address()) + chip * memory.chip_stride();
  std::vector<unsigned char> pages(static_cast<std::size_t>(tensor.spec().size_bytes() / page));
  EXPECT_EQ(::mincore(begin, pages.size() * static_cast<std::size_t>(page), pages.data()), 0);
  return std::ranges::count_if(pages, [](unsigned char state) { return (state & 1) != 0; }) * page;
}

std::vector<bool> paid_by_chip(const Tensor& tensor) {
  std::vector<bool> paid;
  for (std::int64_t chip = 0; chip < tensor.device().chips(); ++chip) {
    const std::int64_t bytes = resident_bytes(tensor, chip);
    EXPECT_TRUE(bytes == 0 || bytes == tensor.spec().size_bytes()) << bytes;
    paid.push_back(bytes > 0);
  }
  return paid;
}

TEST(Sharing, FollowsTheMapper) {
  const BoardSpec& mesh = board("t3000"); // 2 x 4
  EXPECT_EQ(sharing_of(mesh, replicate_tensor_to_mesh()), (Sharing{1, 1}));
  EXPECT_FALSE(sharing_of(mesh, shard_tensor_to_mesh(0)).shares());
  EXPECT_EQ(sharing_of(mesh, shard_tensor_2d_mesh(MeshCut{0}, std::nullopt)), (Sharing{4, 2}));
  EXPECT_EQ(sharing_of(mesh, shard_tensor_2d_mesh(std::nullopt, MeshCut{0})), (Sharing{1, 4}));
  EXPECT_FALSE(sharing_of(mesh, shard_tensor_2d_mesh(MeshCut{0}, MeshCut{1})).shares());
}

TEST(Sharing, ReplicasCostTheirMemoryOnce) {
  const auto device = open_mesh(2, 4);
  const HostTensor values = random_values({1, 1, 1024, 1024}, 1);
  const Tensor shared =
      from_host(*device, rows_of(values), weight_spec(), replicate_tensor_to_mesh(), "shared", HostMemory::SHARED);
  const Tensor separate = from_host(*device, rows_of(values), weight_spec(), replicate_tensor_to_mesh(), "separate");
  for (std::int64_t chip = 0; chip < 8; ++chip) EXPECT_EQ(to_host(shared, chip).data, values.data);
  EXPECT_EQ(paid_by_chip(shared), (std::vector<bool>{true, false, false, false, false, false, false, false}));
  EXPECT_EQ(paid_by_chip(separate), std::vector<bool>(8, true));
}

TEST(Sharing, ShardsAlongOneAxisCostTheirMemoryOncePerShard) {
  const auto device = open_mesh(2, 4);
  const HostTensor values = random_values({1, 1, 1024, 4096}, 2);
  const auto check = [&](const MeshMapper& mapper, const std::vector<bool>& paid) {
    const TensorSpec whole = weight_spec(values.shape);
    const Tensor shared = from_host(*device, rows_of(values), whole, mapper, "shared", HostMemory::SHARED);
    const Tensor separate = from_host(*device, rows_of(values), whole, mapper, "separate");
    for (std::int64_t chip = 0; chip < 8; ++chip) EXPECT_EQ(to_host(shared, chip).data, to_host(separate, chip).data);
    EXPECT_EQ(paid_by_chip(shared), paid);
  };
  check(shard_tensor_2d_mesh(std::nullopt, MeshCut{-1}), {true, true, true, true, false, false, false, false});
}

TEST(Sharing, ShardsByMeshRowLieWithTheFirstChips) {
  const auto device = open_mesh(2, 4);
  const HostTensor values = random_values({1, 1, 2048, 1024}, 3);
  const Tensor shared =
      from_host_transposed(*device, rows_of(values), weight_spec({1, 1, 1024, 2048}),
                           shard_tensor_2d_mesh(MeshCut{-1}, std::nullopt), "shared", HostMemory::SHARED);
  const Tensor separate = from_host_transposed(*device, rows_of(values), weight_spec({1, 1, 1024, 2048}),
                                               shard_tensor_2d_mesh(MeshCut{-1}, std::nullopt), "separate");
  for (std::int64_t chip = 0; chip < 8; ++chip) EXPECT_EQ(to_host(shared, chip).data, to_host(separate, chip).data);
  EXPECT_EQ(paid_by_chip(shared), (std::vector<bool>{true, true, false, false, false, false, false, false}));
}

TEST(Sharing, TakesTheCardsMemoryOnEveryChip) {
  const auto device = open_mesh(1, 2);
  const auto used = [&] { return device->allocator(BufferType::DRAM).usage().used_bytes; };
  Tensor shared = Tensor::allocate(*device, weight_spec(), "x", {1, 1});
  const std::int64_t bytes = used();
  EXPECT_GE(bytes, shared.spec().size_bytes());
  shared = Tensor();
  EXPECT_EQ(used(), 0);
  shared = Tensor::allocate(*device, weight_spec(), "x");
  EXPECT_EQ(used(), bytes);
}

TEST(Sharing, EndsWithTheBuffer) {
  const auto device = open_mesh(1, 2);
  Tensor tensor = Tensor::allocate(*device, weight_spec(), "shared", {1, 1});
  const std::int64_t address = tensor.address();
  EXPECT_EQ(tensor.view().bytes(1), tensor.view().bytes(0));
  EXPECT_TRUE(tensor.is_shared());
  tensor = Tensor();
  tensor = Tensor::allocate(*device, weight_spec(), "own");
  ASSERT_EQ(tensor.address(), address);
  EXPECT_NE(tensor.view().bytes(1), tensor.view().bytes(0));
  EXPECT_FALSE(device->host_bytes(BufferType::DRAM, address).sharing.shares());
}

TEST(Sharing, OfOneChipIsNone) {
  const auto device = open_mesh(1, 1);
  EXPECT_FALSE(Tensor::allocate(*device, weight_spec(), "x", {1, 1}).is_shared());
}

TEST(Sharing, RefusesMoreBlocksThanChips) {
  const auto device = open_mesh(1, 2);
  EXPECT_THAT(
      [&] {
        Tensor::allocate(*device, weight_spec(), "x", {2, 2});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("2 blocks of 2 neighbours")));
}

TEST(Sharing, OfATensorOnAnotherDeviceCostsNoMemory) {
  const auto first = open_mesh(1, 2);
  const auto second = open_mesh(1, 2);
  const HostTensor values = random_values({1, 1, 1024, 2048}, 4);
  Tensor original = from_host(*first, rows_of(values), weight_spec(values.shape), shard_tensor_to_mesh(-1), "w");
  const Tensor before = Tensor::allocate(*second, weight_spec(), "another place");
  const Tensor alias = Tensor::share(*second, original, "w");
  EXPECT_NE(alias.address(), original.address());
  EXPECT_EQ(&alias.device(), second.get());
  EXPECT_GE(second->allocator(BufferType::DRAM).usage().used_bytes, 2 * alias.spec().size_bytes());
  const std::vector<float> shard = to_host(original, 1).data;
  original = Tensor(); // the alias keeps it
  const Tensor elsewhere = from_host(*first, rows_of(values), weight_spec(values.shape), shard_tensor_to_mesh(-1), "w");
  EXPECT_EQ(to_host(alias, 1).data, shard);
  EXPECT_EQ(resident_bytes(alias, 0) + resident_bytes(alias, 1), 0);
}

TEST(Sharing, OfASharedTensorKeepsItsBlocks) {
  const auto first = open_mesh(1, 2);
  const auto second = open_mesh(1, 2);
  const HostTensor values = random_values({1, 1, 64, 64}, 5);
  const Tensor original = from_host(*first, rows_of(values), weight_spec(values.shape), replicate_tensor_to_mesh(), "w",
                                    HostMemory::SHARED);
  const Tensor alias = Tensor::share(*second, Tensor::share(*second, original, "w"), "w");
  EXPECT_EQ(alias.view().bytes(1), original.view().bytes(0));
  EXPECT_EQ(to_host(alias, 1).data, values.data);
}

TEST(Sharing, NeedsTheSameMeshAndIsNotWrittenThrough) {
  const auto first = open_mesh(1, 2);
  const auto second = open_mesh(2, 1);
  const Tensor original = test::integers_to_device(*first, {1, 4}, {1, 2, 3, 4});
  EXPECT_THAT([&] { Tensor::share(*second, original, "w"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("received 2x1 and 1x2")));
  EXPECT_THAT([&] { Tensor::share(*first, Tensor(), "w"); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("for w")));
  EXPECT_THAT(
      [&] {
        write(Tensor::share(*first, original, "w"), {1, 2, 3, 4});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("write the original")));
}

TEST(Sharing, IsKnownInRecordMode) {
  const auto device = MeshDevice::open({.board = board("t3000"), .mode = runtime::RunMode::RECORD});
  const Tensor tensor = zeros(*device, weight_spec(), "x");
  const Tensor shared = Tensor::allocate(*device, weight_spec(), "x", {1, 1});
  EXPECT_TRUE(shared.is_shared());
  EXPECT_EQ(Tensor::share(*device, shared, "y").view().bytes(7), nullptr);
}

/// Decodes what each read reads, on both chips.
class Reader : public runtime::QueueObserver {
 public:
  void before(MeshDevice& device, const OpRecord& record) override {
    for (const OperandRecord& input : record.inputs) {
      for (std::int64_t chip = 0; chip < 2; ++chip) seen.push_back(read_operand(device, input, chip).data);
    }
  }
  void after(MeshDevice&, const OpRecord&, const runtime::ProgramRun&) override {}

  std::vector<std::vector<float>> seen;
};

TEST(Sharing, IsSeenByObserversEvenOfTensorsThatAreGone) {
  const auto first = open_mesh(1, 2);
  const auto second = open_mesh(1, 2);
  const HostTensor values = random_values({1, 1, 512, 512}, 6);
  Reader reader;
  second->add_observer(reader);
  {
    const Tensor own = from_host(*second, rows_of(values), weight_spec(values.shape), "own");
    begin_read(own, 1);
  }
  const Tensor original = from_host(*first, rows_of(values), weight_spec(values.shape), replicate_tensor_to_mesh(), "w",
                                    HostMemory::SHARED);
  begin_read(Tensor::share(*second, original, "alias"), 1); // where `own` was
  second->synchronize();
  second->remove_observer(reader);
  ASSERT_EQ(reader.seen.size(), 4U);
  for (const auto& seen : reader.seen) EXPECT_EQ(seen, values.data);
}

} // namespace
} // namespace tessera::tensor
