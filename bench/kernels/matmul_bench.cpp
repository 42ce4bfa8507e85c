// How fast are activations times tiled weights? One thread, K x N weights of each format, M rows. M = 1 should come
// near the memory's bandwidth, M = 512 near the peak of fp32 multiply-adds. And how fast is the card's own matrix unit,
// bit for bit, by fidelity?

#include <benchmark/benchmark.h>

#include <bit>
#include <random>
#include <string>
#include <vector>

#include "tessera/kernels/kernels.hpp"

namespace tessera::kernels {
namespace {

constexpr std::int64_t kDepth = 2048;

/// Weights larger than the caches for a single row, and a few columns where arithmetic is the limit.
std::int64_t columns_for(std::int64_t m) {
  return m == 1 ? 32768 : m <= 32 ? 4096 : 512;
}

std::vector<float> random_floats(std::int64_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

void matmul(benchmark::State& state, DataType dtype, std::int64_t m) {
  const Kernels& table = kernels();
  const std::int64_t columns = columns_for(m);
  std::vector<std::byte> memory(static_cast<std::size_t>(kDepth / 32 * (columns / 32) * tile_bytes(dtype)));
  const Tiles w{memory.data(), dtype, kDepth / 32, columns / 32};
  const std::vector<float> tile = random_floats(kTileElements);
  for (std::int64_t r = 0; r < w.tile_rows; ++r) {
    for (std::int64_t c = 0; c < w.tile_columns; ++c) table.store_tile(w, r, c, kTileHeight, tile.data(), kTileWidth);
  }
  const std::vector<float> a = random_floats(m * kDepth);
  std::vector<float> out(static_cast<std::size_t>(m * 32));
  for (auto _ : state) {
    for (std::int64_t c = 0; c < w.tile_columns; ++c) {
      table.matmul_tile_column(a.data(), kDepth, m, kDepth, w, c, out.data());
      benchmark::DoNotOptimize(out.data());
      benchmark::ClobberMemory();
    }
  }
  const auto passes = static_cast<double>(state.iterations());
  state.counters["B/s"] = benchmark::Counter(passes * static_cast<double>(memory.size()), benchmark::Counter::kIsRate);
  state.counters["FLOP/s"] = benchmark::Counter(
      2 * passes * static_cast<double>(m) * static_cast<double>(kDepth * columns), benchmark::Counter::kIsRate);
}

void matrix_unit(benchmark::State& state, const MatrixUnitMode& mode, std::int64_t m) {
  constexpr std::int64_t kTiles = 64;
  const auto patterns = [](std::int64_t count) {
    std::vector<std::uint32_t> all;
    for (const float value : random_floats(count)) all.push_back(std::bit_cast<std::uint32_t>(value) & 0xFFFF0000);
    return all;
  };
  const std::vector<std::uint32_t> in0 = patterns(m * kTileWidth);
  const std::vector<std::uint32_t> in1 = patterns(kTiles * kTileElements);
  std::vector<std::uint32_t> dst(static_cast<std::size_t>(m * kTileWidth));
  for (auto _ : state) {
    for (std::int64_t tile = 0; tile < kTiles; ++tile) {
      kernels().matrix_unit_tile(mode, in0.data(), kTileWidth, m, in1.data() + tile * kTileElements, dst.data(),
                                 kTileWidth);
    }
    benchmark::DoNotOptimize(dst.data());
    benchmark::ClobberMemory();
  }
  state.counters["MAC/s"] = benchmark::Counter(static_cast<double>(state.iterations() * kTiles * m * kTileElements),
                                               benchmark::Counter::kIsRate);
}

} // namespace
} // namespace tessera::kernels

int main(int argc, char** argv) {
  using tessera::DataType;
  benchmark::AddCustomContext("isa", std::string(tessera::kernels::kernels().isa));
  benchmark::AddCustomContext("weights", "K = 2048; N = 32768 for M = 1, 4096 up to 32, 512 above");
  for (const DataType dtype :
       {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B}) {
    for (const std::int64_t m : {1, 2, 4, 8, 32, 512}) {
      const std::string name = "matmul/" + std::string(to_string(dtype)) + "/M:" + std::to_string(m);
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        tessera::kernels::matmul(state, dtype, m);
      })->Unit(benchmark::kMicrosecond);
    }
  }
  for (const int phases : {1, 2, 3, 4}) {
    for (const bool dst_is_16_bit : {true, false}) {
      for (const std::int64_t m : {1, 32}) {
        const std::string name = "matrix_unit/" + std::string(phases == 1 ? "LoFi" : "HiFi" + std::to_string(phases)) +
                                 (dst_is_16_bit ? "/Dst16" : "/Dst32") + "/M:" + std::to_string(m);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          tessera::kernels::matrix_unit(state, {.phases = phases, .dst_is_16_bit = dst_is_16_bit}, m);
        })->Unit(benchmark::kMicrosecond);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
