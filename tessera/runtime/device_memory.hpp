#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::runtime {

/// The host memory behind one memory (DRAM or L1) of all chips of a mesh.
///
/// One virtual range is reserved with the card's full capacity for each chip; the operating system supplies pages as
/// they are touched. So a device address maps to a host address by arithmetic, the page table of the processor is the
/// interval table, and what is freed and allocated again in a queue's order lies at the same place for the kernels.
/// Since banks are allocated in lock step, [a, a + n) of every bank stands for host bytes [a, a + n) * banks.
class DeviceMemory {
 public:
  /// No memory: record mode.
  DeviceMemory() = default;
  /// Reserves chips * banks * bytes_per_bank. Throws OutOfMemory when the process may not reserve that much.
  DeviceMemory(std::int64_t chips, std::int64_t banks, std::int64_t bytes_per_bank);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;

  /// Host bytes of a bank address on chip 0; null in record mode.
  std::byte* at(std::int64_t address) const { return data_ == nullptr ? nullptr : data_ + address * banks_; }
  /// Puts `bytes` of an open file, from `offset` on, in the place of host bytes [begin, begin + bytes) of every chip:
  /// whole pages are mapped, copied by the system when they are written to; what lies on part of a page is read. What
  /// was there is gone. False, with undefined bytes there, when the system refuses or offset and begin differ modulo
  /// the size of a page. REQUIRES: nothing uses these bytes meanwhile.
  bool map_file(std::int64_t begin, std::int64_t bytes, int file, std::int64_t offset);
  /// Ordinary memory again, with undefined bytes.
  void unmap_file(std::int64_t begin, std::int64_t bytes);

  /// Distance from a chip's bytes to the next chip's.
  std::int64_t chip_stride() const { return chip_stride_; }

 private:
  void* mapping_ = nullptr;
  std::byte* data_ = nullptr; ///< in mapping_, at a multiple of a huge page
  std::size_t reserved_ = 0;
  std::int64_t banks_ = 0;
  std::int64_t chip_stride_ = 0;
  std::int64_t chips_ = 0;
};

} // namespace tessera::runtime
