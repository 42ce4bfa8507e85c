#pragma once

#include <cstddef>
#include <memory>

namespace tessera::cli {

/// What this machine gives, measured with as many threads as the device uses: the yardstick beside every speed. The
/// memory of a shared machine drifts by the minute, so it is measured anew beside each figure.
class MachineLimits {
 public:
  explicit MachineLimits(int threads);
  ~MachineLimits();
  MachineLimits(const MachineLimits&) = delete;
  MachineLimits& operator=(const MachineLimits&) = delete;

  /// Bytes/s of reading memory now: the best of a few passes over a buffer beyond every cache, a run for each thread.
  double read_bytes_per_s() const;
  /// Floating-point operations/s of the products that matmuls use.
  double peak_flops() const;

 private:
  struct Unmap {
    void operator()(std::byte* memory) const;
  };

  int threads_;
  std::unique_ptr<std::byte, Unmap> memory_;
};

} // namespace tessera::cli
