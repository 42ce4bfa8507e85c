// How fast is attention, as the models call it? Shape of Llama-3.2-1B: 32 query heads, 8 KV heads, head_dim 64,
// bfloat16. Prefill should come near the peak of multiply-adds (the causal half is counted), decode near the memory's
// bandwidth. Both limits are measured at the start, on one thread, and stand in the context.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <random>
#include <vector>

#include "tessera/kernels/kernels.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t kHeads = 32;
constexpr std::int64_t kKvHeads = 8;
constexpr std::int64_t kHeadDim = 64;
// Layers with a cache of their own, so that a decode step finds nothing in the processor's caches.
constexpr std::int64_t kLayers = 16;

/// A tensor of values of about 1, written tile by tile where it lies.
Tensor random_tensor(runtime::MeshDevice& device, const Shape& shape, DataType dtype) {
  Tensor tensor = Tensor::allocate(device, {shape, dtype, Layout::TILE}, "random");
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<std::size_t>(shape[-1]));
  const std::int64_t rows = tensor.spec().tile_rows() * kTileHeight;
  for (std::int64_t matrix = 0; matrix < tensor.spec().num_matrices(); ++matrix) {
    for (std::int64_t i = 0; i < rows; ++i) {
      // Few rows are new: drawing numbers takes longer than all else.
      if (matrix * rows + i < 4096) {
        for (float& value : row) value = normal(random);
      } else {
        std::swap(row[static_cast<std::size_t>(random() % row.size())], row[0]);
      }
      kernels::kernels().store_row(tensor.view().tiles(0, matrix), i, row.data(), i < shape[-2] ? shape[-1] : 0);
    }
  }
  return tensor;
}

Tensor integers(runtime::MeshDevice& device, const Shape& shape, std::int64_t step, std::int32_t first) {
  Tensor tensor = Tensor::allocate(device, {shape, DataType::INT32, Layout::ROW_MAJOR}, "integers");
  for (std::int64_t i = 0; i < shape.volume(); ++i)
    tensor.view().elements<std::int32_t>(0)[i] = static_cast<std::int32_t>(first + i * step);
  return tensor;
}

void prefill(benchmark::State& state, int threads, std::int64_t length) {
  const auto device = runtime::MeshDevice::open({.threads = threads});
  const Tensor q = random_tensor(*device, {1, kHeads, length, kHeadDim}, DataType::BFLOAT16);
  const Tensor k = random_tensor(*device, {1, kKvHeads, length, kHeadDim}, DataType::BFLOAT16);
  const Tensor v = random_tensor(*device, {1, kKvHeads, length, kHeadDim}, DataType::BFLOAT16);
  for (auto _ : state) {
    scaled_dot_product_attention(q, k, v, {.scale = 0.125F});
    device->synchronize();
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * 2 * kHeads * kHeadDim * length * (length + 1)),
                         benchmark::Counter::kIsRate);
}

/// One decode step of `users` at the last of `tokens` positions, in caches that hold `capacity`.
void decode(benchmark::State& state, int threads, DataType cache, std::int64_t users, std::int64_t tokens,
            std::int64_t capacity) {
  const auto device = runtime::MeshDevice::open({.threads = threads});
  const std::int64_t pages = capacity / kTileHeight;
  const std::int64_t layers = tokens * users < 1024 ? 1 : kLayers; // a short cache may lie where it likes
  const Tensor q = random_tensor(*device, {1, users, kHeads, kHeadDim}, DataType::BFLOAT16);
  std::vector<Tensor> keys;
  std::vector<Tensor> values;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    keys.push_back(random_tensor(*device, {users * pages, kKvHeads, kTileHeight, kHeadDim}, cache));
    values.push_back(random_tensor(*device, {users * pages, kKvHeads, kTileHeight, kHeadDim}, cache));
  }
  const Tensor positions = integers(*device, {users}, 0, static_cast<std::int32_t>(tokens - 1));
  const Tensor table = integers(*device, {users, pages}, 1, 0);
  for (auto _ : state) {
    for (std::size_t layer = 0; layer < keys.size(); ++layer) {
      paged_scaled_dot_product_attention_decode(q, keys[layer], values[layer], positions, table, {.scale = 0.125F});
    }
    device->synchronize();
  }
  const auto steps = static_cast<double>(state.iterations() * layers);
  const std::int64_t tiles = users * kKvHeads * ((tokens + kTileHeight - 1) / kTileHeight) * (kHeadDim / kTileWidth);
  state.counters["B/s"] =
      benchmark::Counter(steps * static_cast<double>(2 * tiles * tile_bytes(cache)), benchmark::Counter::kIsRate);
  state.counters["s/layer"] = benchmark::Counter(steps, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

double seconds_of(const auto& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The best of some rounds: what one thread multiplies and reads in a second.
void measure_limits() {
  double flops = 0;
  double bytes = 0;
  const std::vector<std::byte> memory(std::size_t{512} << 20, std::byte{1});
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::byte* const aligned = memory.data() + (64 - address % 64) % 64;
  const std::int64_t size = (std::int64_t{512} << 20) - 256;
  for (int round = 0; round < 5; ++round) {
    std::int64_t done = 0;
    const double multiplying = seconds_of([&] { done = kernels::kernels().multiply_add(1 << 20); });
    flops = std::max(flops, static_cast<double>(done) / multiplying);
    const double reading = seconds_of([&] { benchmark::DoNotOptimize(kernels::kernels().read_memory(aligned, size)); });
    bytes = std::max(bytes, static_cast<double>(size) / reading);
  }
  benchmark::AddCustomContext("peak of one thread",
                              fmt::format("{:.0f} GFLOP/s, {:.1f} GB/s", flops * 1e-9, bytes * 1e-9));
}

} // namespace
} // namespace tessera::ops

int main(int argc, char** argv) {
  using tessera::DataType;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("isa", std::string(tessera::kernels::kernels().isa));
  tessera::ops::measure_limits();
  const auto add = [](const std::string& name, const auto& body) {
    benchmark::RegisterBenchmark(name.c_str(), body)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime()
        ->MeasureProcessCPUTime();
  };
  for (const int threads : {1, 2}) {
    const std::string suffix = fmt::format("/threads:{}", threads);
    for (const std::int64_t length : {128, 512, 4096}) {
      add(fmt::format("prefill/tokens:{}", length) + suffix,
          [=](benchmark::State& state) { tessera::ops::prefill(state, threads, length); });
    }
    for (const DataType cache : {DataType::BFLOAT16, DataType::BFLOAT8_B}) {
      const auto add_decode = [&](std::int64_t users, std::int64_t tokens, std::int64_t capacity) {
        add(fmt::format("decode/{}/users:{}/tokens:{}/capacity:{}", to_string(cache), users, tokens, capacity) + suffix,
            [=](benchmark::State& state) { tessera::ops::decode(state, threads, cache, users, tokens, capacity); });
      };
      add_decode(1, 10, 8192);
      add_decode(1, 8192, 8192);
      add_decode(32, 144, 256);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
