// A mesh whose chips are computed by several ranks gives the bits of a mesh of one. Ranks are threads here;
// tests/mpi runs the same program over MPI.

#include <mutex>

#include "tests/ops/ops_fixture.hpp"
#include "tests/ops/ranks_program.hpp"
#include "tests/runtime/thread_ranks.hpp"

namespace tessera::ops {
namespace {

using test::Findings;
using test::ThreadRanks;

struct Ranks {
  std::int64_t rows;
  std::int64_t columns;
  int ranks;
  int queues;
};

std::shared_ptr<runtime::MeshDevice> open(const Ranks& ranks, std::shared_ptr<runtime::Communicator> communicator) {
  BoardSpec spec = board("t3000");
  spec.mesh_rows = ranks.rows;
  spec.mesh_columns = ranks.columns;
  return runtime::MeshDevice::open(
      {.board = spec, .threads = 2, .command_queues = ranks.queues, .communicator = std::move(communicator)});
}

class MeshOfRanks : public testing::TestWithParam<Ranks> {};
INSTANTIATE_TEST_SUITE_P(Meshes, MeshOfRanks,
                         testing::Values(Ranks{1, 2, 2, 1}, Ranks{2, 4, 2, 2}, Ranks{2, 4, 4, 1}, Ranks{2, 2, 4, 2},
                                         Ranks{3, 2, 2, 1}),
                         [](const auto& of_test) {
                           const Ranks& of = of_test.param;
                           return fmt::format("{}x{}On{}Ranks{}Queues", of.rows, of.columns, of.ranks, of.queues);
                         });

TEST_P(MeshOfRanks, GivesTheBitsOfOneRankOnEveryRank) {
  const Findings expected = test::RanksProgram(open(GetParam(), nullptr)).run();
  ASSERT_GT(expected.size(), 100U);
  ThreadRanks ranks(GetParam().ranks);
  std::mutex mutex; // assertions of one rank at a time
  ranks.run([&](const std::shared_ptr<runtime::Communicator>& communicator) {
    const Findings found = test::RanksProgram(open(GetParam(), communicator)).run();
    std::lock_guard lock(mutex);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].first, expected[i].first);
      ASSERT_EQ(found[i].second, expected[i].second) << found[i].first << " on rank " << communicator->rank();
    }
  });
}

/// Bytes that two ranks of a 1x2 mesh send while `body` runs.
std::int64_t sent_by(const std::function<void(runtime::MeshDevice&)>& body) {
  ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<runtime::Communicator>& communicator) {
    const auto device = open({1, 2, 2, 1}, communicator);
    body(*device);
    device->synchronize();
  });
  return ranks.sent_bytes();
}

TEST(Ranks, SendNoMoreThanIsNeeded) {
  const TensorSpec spec{{1, 1, 32, 64}, DataType::FLOAT32, Layout::TILE, kDramInterleaved};
  const std::int64_t bytes = spec.size_bytes();
  const auto values = [&] { return tensor::rows_of(random_values(spec.shape, 1)); };
  EXPECT_EQ(sent_by([&](runtime::MeshDevice& device) { tensor::from_host(device, values(), spec, "x"); }), 0);
  EXPECT_EQ(sent_by([&](runtime::MeshDevice& device) { to_host(tensor::from_host(device, values(), spec, "x"), 1); }),
            bytes);
  EXPECT_EQ(sent_by([&](runtime::MeshDevice& device) { all_reduce(tensor::from_host(device, values(), spec, "x")); }),
            2 * bytes);
  EXPECT_EQ(
      sent_by([&](runtime::MeshDevice& device) { mesh_partition(tensor::from_host(device, values(), spec, "x"), 3); }),
      0);
  EXPECT_EQ(sent_by([&](runtime::MeshDevice& device) {
              point_to_point(tensor::from_host(device, values(), spec, "x"), {0, 0}, {0, 1});
            }),
            bytes);
  // Each rank wrote the shared block for its own chips.
  EXPECT_EQ(sent_by([&](runtime::MeshDevice& device) {
              to_host(tensor::from_host(device, values(), spec, tensor::replicate_tensor_to_mesh(), "x",
                                        tensor::HostMemory::SHARED),
                      1);
            }),
            0);
}

TEST(Ranks, ComputeTheirOwnChipsOnly) {
  ThreadRanks ranks(2);
  std::vector<std::atomic<int>> runs(8);
  ranks.run([&](const std::shared_ptr<runtime::Communicator>& communicator) {
    const auto device = open({2, 4, 2, 1}, communicator);
    const bool first = communicator->rank() == 0;
    device->queue().enqueue({.name = "count",
                             .stages = {{1,
                                         [&](const runtime::Unit& unit) {
                                           EXPECT_EQ(unit.chip < 4, first);
                                           ++runs[static_cast<std::size_t>(unit.chip)];
                                         }}}},
                            [] { return OpRecord{}; });
    device->synchronize();
    EXPECT_EQ(device->is_local(0), first);
    EXPECT_EQ(device->rank_of(7), 1);
    const auto submesh = device->create_submesh(1, 4, 1, 0);
    EXPECT_EQ(submesh->local_chips(), first ? 0 : 4);
    const auto other = device->create_submesh(1, 4, 0, 0);
    EXPECT_FALSE(submesh->has_ranks_of(*other));
    const Tensor tensor = integers_to_device(*submesh, {1, 2}, {3, 4});
    EXPECT_EQ(tensor::to_host_integers(tensor, 2), (std::vector<std::int32_t>{3, 4}));
    EXPECT_THAT([&] { Tensor::share(*other, tensor, "w"); },
                ThrowsMessage<base::InvalidArgument>(HasSubstr("same ranks")));
  });
  EXPECT_THAT(std::vector<int>(runs.begin(), runs.end()), testing::Each(1));
}

TEST(Ranks, MustDivideTheChips) {
  EXPECT_THAT(
      [] {
        ThreadRanks(2).run([](const std::shared_ptr<runtime::Communicator>& communicator) {
          open({1, 1, 2, 1}, communicator);
        });
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("divides the 1 chips")));
}

TEST(Ranks, ARanksErrorReachesTheOthers) {
  EXPECT_THAT(
      [] {
        ThreadRanks(2).run([](const std::shared_ptr<runtime::Communicator>& communicator) {
          const auto device = open({1, 2, 2, 1}, communicator);
          base::require(communicator->rank() == 0, "stop");
          to_host(integers_to_device(*device, {1, 2}, {3, 4}), 1);
        });
      },
      ThrowsMessage<base::DeviceError>(HasSubstr("rank 1 is lost")));
}

} // namespace
} // namespace tessera::ops
