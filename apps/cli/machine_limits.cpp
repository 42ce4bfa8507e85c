#include "apps/cli/machine_limits.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/kernels/kernels.hpp"

namespace tessera::cli {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20; // a run of memory for each thread in turn
constexpr int kPasses = 6;

/// Runs body(thread) on all threads at once and returns the seconds from their common start to the last end.
template <typename Body>
double timed(int threads, const Body& body) {
  std::atomic<int> waiting{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> workers;
  for (int thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      ++waiting;
      while (!go) std::this_thread::yield();
      body(thread);
    });
  }
  while (waiting < threads) std::this_thread::yield();
  const auto start = std::chrono::steady_clock::now();
  go = true;
  for (std::thread& worker : workers) worker.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Memory in huge pages, every page written.
class Buffer {
 public:
  Buffer(int threads, std::size_t bytes) : bytes_(bytes) {
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base::require<base::OutOfMemory>(
        memory != MAP_FAILED, "[bench] {} bytes are needed to measure the memory; the system has none left", bytes);
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    memory_ = static_cast<std::byte*>(memory);
    const std::size_t share = bytes / static_cast<std::size_t>(threads);
    timed(threads,
          [&](int thread) { std::memset(memory_ + static_cast<std::size_t>(thread) * share, thread + 1, share); });
  }
  ~Buffer() { ::munmap(memory_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  const std::byte* data() const { return memory_; }

 private:
  std::size_t bytes_;
  std::byte* memory_ = nullptr;
};

} // namespace

double MachineLimits::read_bytes_per_s() const {
  const Buffer memory(threads_, buffer_bytes_);
  std::atomic<std::uint64_t> sink{0};
  const auto& isa = kernels::kernels();
  const std::size_t share = buffer_bytes_ / static_cast<std::size_t>(threads_) / kChunk * kChunk;
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    // Two patterns: one far-apart range for each thread, and chunks in turn. Which is faster depends on the machine.
    const double seconds = timed(threads_, [&](int thread) {
      std::uint64_t sum = 0;
      const auto number = static_cast<std::size_t>(thread);
      if (pass % 2 == 0) {
        sum = isa.read_memory(memory.data() + number * share, static_cast<std::int64_t>(share));
      } else {
        for (std::size_t at = number * kChunk; at + kChunk <= share * static_cast<std::size_t>(threads_);
             at += kChunk * static_cast<std::size_t>(threads_)) {
          sum += isa.read_memory(memory.data() + at, kChunk);
        }
      }
      sink += sum;
    });
    best = std::max(best, static_cast<double>(share) * threads_ / seconds);
  }
  return best;
}

std::int64_t MachineLimits::cache_bytes() {
  // In a virtual machine sysconf may tell of the host's caches, several times what this machine's processors share.
  std::ifstream size("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::int64_t kibibytes = 0;
  return size >> kibibytes ? kibibytes * 1024 : 0;
}

double MachineLimits::peak_flops() const {
  constexpr std::int64_t kRounds = 4'000'000;
  const auto& isa = kernels::kernels();
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<std::int64_t> done{0};
    const double seconds = timed(threads_, [&](int) { done += isa.multiply_add(kRounds); });
    best = std::max(best, static_cast<double>(done) / seconds);
  }
  return best;
}

std::int64_t PeakMemory::now() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::int64_t kibibytes = usage.ru_maxrss;
  // VmHWM can be set back, ru_maxrss cannot.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) kibibytes = std::stoll(line.substr(6));
  }
  return kibibytes * 1024;
}

void PeakMemory::forget() {
  constexpr char kResetPeak = '5'; // proc(5), clear_refs
  std::ofstream("/proc/self/clear_refs") << kResetPeak;
}

} // namespace tessera::cli
