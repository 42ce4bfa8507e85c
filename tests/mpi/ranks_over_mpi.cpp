// Run by mpirun on several ranks. `ranks_over_mpi same ROWS COLUMNS QUEUES`: what crosses ranks gives the bits of one
// rank. `ranks_over_mpi differ`: ranks that are not started alike are refused. `ranks_over_mpi lose HOW`: the last rank
// ends while the others wait for it: killed, frozen, by an error, or too early. Exits 0 when all is as it should be, 5
// where a rank was lost and said so.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "tessera/base/error.hpp"
#include "tessera/mpi/mpi_communicator.hpp"
#include "tests/ops/ranks_program.hpp"

namespace {

using namespace tessera;

std::shared_ptr<runtime::MeshDevice> open(std::int64_t rows, std::int64_t columns, int queues,
                                          std::shared_ptr<runtime::Communicator> communicator) {
  BoardSpec spec = board("t3000");
  spec.mesh_rows = rows;
  spec.mesh_columns = columns;
  return runtime::MeshDevice::open(
      {.board = spec, .threads = 2, .command_queues = queues, .communicator = std::move(communicator)});
}

int same(int rows, int columns, int queues) {
  const auto communicator = mpi::MpiCommunicator::open();
  communicator->require_same({{"board", "t3000"}});
  const test::Findings expected = test::RanksProgram(open(rows, columns, queues, nullptr)).run();
  const test::Findings found = test::RanksProgram(open(rows, columns, queues, communicator)).run();
  base::require(found.size() == expected.size() && found.size() > 100, "as many findings are required");
  for (std::size_t i = 0; i < found.size(); ++i)
    base::require(found[i] == expected[i], "{} differs on rank {}", found[i].first, communicator->rank());
  fmt::print("rank {} of {}: {} findings agree\n", communicator->rank(), communicator->ranks(), found.size());
  return 0;
}

int differ() {
  const auto communicator = mpi::MpiCommunicator::open();
  const bool last = communicator->rank() == communicator->ranks() - 1;
  communicator->require_same({{"board", "t3000"}});
  try {
    communicator->require_same({{"board", last ? "n300" : "t3000"}, {"precision", "full"}});
  } catch (const base::InvalidArgument& error) {
    fmt::print("{}\n", error.what());
    return 0;
  }
  return 1;
}

int lose(const std::string& how) {
  const auto communicator = mpi::MpiCommunicator::open();
  const bool last = communicator->rank() == communicator->ranks() - 1;
  try {
    const auto device = open(1, communicator->ranks(), 1, communicator);
    tensor::Tensor x = test::to_device(*device, test::random_values({1, 1, 32, 512}, 1), DataType::BFLOAT16);
    for (int step = 0; how != "early" || step < 200 || !last; ++step) {
      x = ops::all_reduce(x);
      if (step % 10 == 0) device->synchronize();
      if (!last || step < 200) continue;
      if (how == "killed") std::raise(SIGKILL);
      if (how == "frozen") std::raise(SIGSTOP);
      if (how == "error") throw base::OutOfMemory("[test] no more memory");
    }
  } catch (const base::Error& error) {
    fmt::print("rank {}: {}\n", communicator->rank(), error.what());
    std::fflush(stdout);
    communicator->fail(error.what());
    ::_exit(5);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    if (what == "same" && argc == 5) return same(std::stoi(argv[2]), std::stoi(argv[3]), std::stoi(argv[4]));
    if (what == "differ") return differ();
    if (what == "lose" && argc == 3) return lose(argv[2]);
    fmt::print("what is required: same, differ or lose\n");
  } catch (const std::exception& error) {
    fmt::print("error: {}\n", error.what());
    std::fflush(stdout);
  }
  ::_exit(1);
}
