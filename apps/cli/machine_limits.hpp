#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tessera::cli {

/// What this machine gives, measured with as many threads as the device uses: the yardstick beside every speed. The
/// memory of a shared machine drifts by the minute, so it is measured anew beside each figure.
class MachineLimits {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 30;

  explicit MachineLimits(int threads, std::size_t buffer_bytes = kBufferBytes)
      : threads_(threads), buffer_bytes_(buffer_bytes) {}

  /// Bytes/s of reading memory now: the best of a few passes over a buffer beyond every cache, a run for each thread.
  /// The buffer lives as long as the call.
  double read_bytes_per_s() const;
  /// Bytes of the last cache; 0 where the system does not say.
  static std::int64_t cache_bytes();
  /// Floating-point operations/s of the products that matmuls use.
  double peak_flops() const;

 private:
  int threads_;
  std::size_t buffer_bytes_;
};

/// The most memory that this process has held since the start, less what was measured in between.
class PeakMemory {
 public:
  /// Runs body() without counting the memory that it takes for a while.
  template <typename Body>
  auto without(const Body& body) {
    most_ = std::max(most_, now());
    const auto result = body();
    forget();
    return result;
  }
  std::int64_t bytes() const { return std::max(most_, now()); }

 private:
  static std::int64_t now(); ///< the kernel's own high-water mark
  static void forget();      ///< sets it back to what is held now

  std::int64_t most_ = 0;
};

} // namespace tessera::cli
