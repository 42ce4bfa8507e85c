// Collectives over the chips of a mesh in this host's memory: time of one op, and bytes of all chips' inputs and
// outputs over that time.
// Prints a table. usage: ccl_bench [THREADS]

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

/// The best of several replays of a trace of a few ops: what the op takes without the host's part.
double best_us(const std::shared_ptr<runtime::MeshDevice>& device, const std::function<void()>& op) {
  constexpr int kReplays = 40;
  constexpr int kOps = 20;
  op(); // each op runs once before it is captured
  const runtime::Trace trace(device, 0, [&] {
    for (int i = 0; i < kOps; ++i) op();
  });
  double best = 1e30;
  for (int replay = 0; replay < kReplays; ++replay) {
    const Clock::time_point begin = Clock::now();
    trace.execute(true);
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / kOps);
  }
  return best;
}

void measure(std::int64_t chips, int threads, std::int64_t rows, DataType dtype) {
  BoardSpec spec = board("t3000");
  spec.mesh_rows = 1;
  spec.mesh_columns = chips;
  const auto device = runtime::MeshDevice::open({.board = spec, .threads = threads});
  const tensor::Tensor whole =
      tensor::zeros(*device, {{1, 1, rows, 2048}, dtype, Layout::TILE, kDramInterleaved}, "whole");
  const tensor::Tensor part =
      tensor::zeros(*device, {{1, 1, rows, 2048 / chips}, dtype, Layout::TILE, kDramInterleaved}, "part");
  const auto report = [&](std::string_view name, std::int64_t bytes, const std::function<void()>& op) {
    const double us = best_us(device, op);
    fmt::print("{:14} {:>5} rows {:9} {} chips {} threads: {:8.1f} us {:7.1f} GB/s\n", name, rows, to_string(dtype),
               chips, threads, us, static_cast<double>(bytes * chips) / us / 1e3);
  };
  const std::int64_t whole_bytes = whole.spec().size_bytes();
  const std::int64_t part_bytes = part.spec().size_bytes();
  report("all_gather", whole_bytes + part_bytes, [&] { ops::all_gather(part, 3); });
  report("reduce_scatter", whole_bytes + part_bytes, [&] { ops::reduce_scatter(whole, 3); });
  report("all_reduce", 2 * whole_bytes, [&] { ops::all_reduce(whole); });
}

} // namespace
} // namespace tessera

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  for (const auto dtype : {tessera::DataType::BFLOAT16, tessera::DataType::BFLOAT8_B}) {
    for (const std::int64_t rows : {32, 512}) {
      for (const std::int64_t chips : {2, 8}) tessera::measure(chips, threads, rows, dtype);
    }
  }
}
