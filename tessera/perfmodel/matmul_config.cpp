#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/spec/shape.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::perfmodel {
namespace {

/// Results in the destination register, height and width, in TT-NN's order of preference.
constexpr std::array<std::pair<int, int>, 20> kSubblocks{{{4, 2}, {2, 4}, {8, 1}, {1, 8}, {7, 1}, {1, 7}, {3, 2},
                                                          {2, 3}, {6, 1}, {1, 6}, {5, 1}, {1, 5}, {2, 2}, {4, 1},
                                                          {1, 4}, {3, 1}, {1, 3}, {2, 1}, {1, 2}, {1, 1}}};
/// Passes over a core's results, down and across, tried in this order.
constexpr std::array<std::pair<int, int>, 8> kPasses{
    {{1, 1}, {1, 2}, {2, 2}, {2, 4}, {4, 4}, {4, 8}, {8, 8}, {16, 16}}};
/// ttnn.matmul gives one core at most so many tiles down and across before it looks for more cores.
constexpr std::int64_t kDefaultBlock = 16;
/// A shape so many times longer than wide is cut in one direction only.
constexpr std::int64_t kNarrow = 8;

/// Shards and partial results that take more of L1 leave too little for the steps: what the benchmark's choices come
/// to.
constexpr std::int64_t kMostInL1Percent = 60;

std::int64_t tiles(std::int64_t extent) {
  return div_up(extent, kTileWidth);
}

void choose_subblock(MatmulConfig& config, bool sharded_output) {
  const std::int64_t height = config.per_core_m / config.out_blocks_h;
  const std::int64_t width = config.per_core_n / config.out_blocks_w;
  for (const auto& [h, w] : kSubblocks) {
    if (sharded_output && h != 1) continue; // results leave row by row
    if (height % h != 0 || width % w != 0) continue;
    config.subblock_h = h;
    config.subblock_w = w;
    return;
  }
}

CircularBuffer buffer(std::string name, DataType dtype, std::int64_t count, bool in_tensor = false) {
  return {
      .name = std::move(name), .dtype = dtype, .pages = count, .page_bytes = tile_bytes(dtype), .in_tensor = in_tensor};
}

/// Operands are double buffered; partial results share the output's buffer where the formats agree.
std::vector<CircularBuffer> buffers_of(const MatmulProblem& problem, const MatmulConfig& config) {
  const std::int64_t height = config.per_core_m / config.out_blocks_h;
  const std::int64_t width = config.per_core_n / config.out_blocks_w;
  const bool own_output = problem.output_dtype != DataType::BFLOAT16;
  std::vector<CircularBuffer> buffers{
      buffer("input blocks", problem.in0_dtype, 2 * config.in0_block_w * height),
      buffer("weight blocks", problem.dtype, 2 * config.in0_block_w * width),
      buffer(own_output ? "partials" : "output", DataType::BFLOAT16, height * width, !own_output && problem.in0_in_l1)};
  if (own_output) {
    const std::int64_t results = problem.in0_in_l1 ? config.per_core_m * config.per_core_n : height * width;
    buffers.push_back(buffer("output", problem.output_dtype, results, problem.in0_in_l1));
  }
  return buffers;
}

/// Tiles of the inner dimension that a core holds.
std::int64_t depth_of_core(const MatmulProblem& problem) {
  const std::int64_t depth = tiles(problem.k);
  return depth % problem.grid.columns == 0 ? depth / problem.grid.columns : 1;
}

/// Bytes of a core's circular buffers and shards.
std::int64_t l1_need(const MatmulProblem& problem, const MatmulConfig& config) {
  std::int64_t bytes = 0;
  for (const CircularBuffer& one : buffers_of(problem, config)) bytes += one.bytes();
  if (problem.in0_in_l1) bytes += config.per_core_m * depth_of_core(problem) * tile_bytes(problem.in0_dtype);
  return bytes;
}

/// Fewest passes first, then the deepest steps that, with the shards, fit `room` bytes.
void choose_steps(MatmulConfig& config, const MatmulProblem& problem, std::int64_t room) {
  const std::int64_t of_core = depth_of_core(problem);
  for (const auto& [down, across] : kPasses) {
    if (config.per_core_m % down != 0 || config.per_core_n % across != 0) continue;
    config.out_blocks_h = down;
    config.out_blocks_w = across;
    for (config.in0_block_w = of_core; config.in0_block_w >= std::min<std::int64_t>(2, of_core); --config.in0_block_w) {
      if (of_core % config.in0_block_w == 0 && l1_need(problem, config) < room) return;
    }
  }
  config.out_blocks_h = config.per_core_m;
  config.out_blocks_w = config.per_core_n;
  config.in0_block_w = 1;
}

MatmulConfig configure_within(const MatmulProblem& problem, std::int64_t room) {
  const std::int64_t rows = tiles(problem.m);
  const std::int64_t depth = tiles(problem.k);
  const std::int64_t columns = tiles(problem.n);
  MatmulConfig config;
  const bool shared_rows = rows <= kDefaultBlock && columns > kDefaultBlock;
  const bool wide = problem.n > kNarrow * problem.m;
  const bool tall = problem.m > kNarrow * problem.n;
  config.one_dimensional = !problem.tuned && (shared_rows || wide || tall);
  if (config.one_dimensional) {
    config.per_core_m = tall ? div_up(rows, problem.grid.cores()) : rows;
    config.per_core_n = tall ? columns : div_up(columns, problem.grid.cores());
    config.in0_block_w = depth % 2 == 0 ? 2 : 1;
  } else {
    config.per_core_m = div_up(rows, problem.grid.rows);
    config.per_core_n = div_up(columns, problem.grid.columns);
    choose_steps(config, problem, room);
  }
  config.cores = div_up(rows, config.per_core_m) * div_up(columns, config.per_core_n);
  choose_subblock(config, problem.in0_in_l1);
  return config;
}

/// One row of tiles against weights in the DRAM banks (matmul_op_multi_core_reuse_dram_sharded.cpp): each bank's reader
/// brings its columns in three buffers; shards of input and output are blocks' source and goal, not blocks. Wide
/// results, such as logits, are computed in parts (tt_transformers: columns of 48 cores at most).
std::vector<CircularBuffer> decode_buffers(const MatmulProblem& problem, const ArchSpec& arch, std::int64_t room) {
  constexpr std::int64_t kMostColumns = 668 * 48;
  constexpr std::int64_t kTriple = 3;
  constexpr std::int64_t kDeepest = 8;
  const std::int64_t depth = tiles(problem.k);
  const auto with = [&](std::int64_t block, std::int64_t width) {
    return std::vector<CircularBuffer>{buffer("input blocks", problem.in0_dtype, 2 * block),
                                       buffer("weight blocks", problem.dtype, kTriple * block * width),
                                       buffer("partials", DataType::BFLOAT16, width),
                                       buffer("results", problem.output_dtype, width)};
  };
  const std::int64_t columns = tiles(std::min(problem.n, kMostColumns));
  std::int64_t width = div_up(columns, arch.dram_banks);
  std::int64_t cores = std::min(arch.worker_cores(), std::gcd(depth, columns)); // that hold the rows, width sharded
  while (depth % cores != 0 || columns % cores != 0) --cores;
  const std::int64_t of_core = depth / cores;
  std::int64_t block = std::min(kDeepest, of_core);
  const auto fits = [&] { return l1_bytes(with(block, width)) <= room; };
  while (block > 1 && (of_core % block != 0 || !fits())) --block;
  while (width > 1 && !fits()) width = div_up(width, std::int64_t{2});
  return with(block, width);
}

} // namespace

MatmulConfig configure(const MatmulProblem& problem, const ArchSpec& arch) {
  return configure_within(problem, arch.l1_bytes_per_core - arch.l1_reserved_bytes_per_core);
}

std::vector<CircularBuffer> matmul_buffers(const MatmulProblem& problem, const ArchSpec& arch, std::int64_t room) {
  if (problem.m <= kTileHeight) return decode_buffers(problem, arch, room);
  const MatmulConfig in_empty_l1 = configure(problem, arch);
  // Shards lie among the tensors, which `room` leaves out.
  const std::int64_t shards = l1_need(problem, in_empty_l1) - l1_bytes(buffers_of(problem, in_empty_l1));
  return buffers_of(problem, configure_within(problem, room + shards));
}

bool fits_in_l1(const MatmulProblem& problem, const ArchSpec& arch) {
  MatmulProblem in_l1 = problem;
  in_l1.in0_in_l1 = true;
  const std::int64_t room = arch.l1_bytes_per_core - arch.l1_reserved_bytes_per_core;
  const MatmulConfig config = configure(in_l1, arch);
  if (tiles(problem.k) % problem.grid.columns != 0 || config.out_blocks_h * config.out_blocks_w > 1) return false;
  MatmulConfig without_steps = config;
  without_steps.in0_block_w = 0;
  return l1_need(in_l1, without_steps) < room * kMostInL1Percent / 100;
}

Grid natural_grid(std::int64_t m, std::int64_t k, std::int64_t n, const ArchSpec& arch) {
  const Grid whole{arch.worker_rows, arch.worker_columns};
  for (std::int64_t columns = whole.columns; columns > whole.columns - 3; --columns) {
    if (tiles(k) % columns == 0 && tiles(n) % columns == 0 && tiles(m) % whole.rows == 0) return {whole.rows, columns};
  }
  return whole;
}

} // namespace tessera::perfmodel
