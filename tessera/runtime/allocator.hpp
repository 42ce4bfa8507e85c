#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace tessera::runtime {

/// What memory is used for: the rows of every memory report.
enum class MemoryKind { WEIGHTS, KV_CACHE, ACTIVATIONS };
inline constexpr std::size_t kMemoryKinds = 3;
std::string_view to_string(MemoryKind kind);

/// Who holds a piece of memory, for reports and errors.
struct AllocationLabel {
  MemoryKind kind = MemoryKind::ACTIVATIONS;
  std::string name; ///< op or tensor with its module: "layers.3.mlp.w1"
};

/// The banks of one memory of a chip, allocated in lock step: an allocation has the same address in every bank, and as
/// many bytes in each as its fullest bank needs. First fit; DRAM grows from the bottom, L1 from the top. All chips of a
/// mesh share one allocator, since every op runs on all of them.
class BankAllocator {
 public:
  enum class Direction { BOTTOM_UP, TOP_DOWN };
  struct Layout {
    std::string name;  ///< "DRAM" or "L1", for messages
    std::string board; ///< for messages
    std::int64_t banks = 1;
    std::int64_t begin = 0;      ///< first usable address of a bank, bytes
    std::int64_t end = 0;        ///< one past the last
    std::int64_t alignment = 32; ///< of addresses and of pages, bytes
    Direction direction = Direction::BOTTOM_UP;
  };
  struct Usage {
    std::int64_t used_bytes = 0; ///< over all banks, with lock-step padding
    std::int64_t peak_bytes = 0;
    std::array<std::int64_t, kMemoryKinds> used_by_kind{};
    std::array<std::int64_t, kMemoryKinds> peak_by_kind{};
  };

  explicit BankAllocator(Layout layout);

  /// Address of `pages` pages of `page_bytes`, interleaved over the banks. Throws OutOfMemory, which says what was
  /// asked, what is free, who holds the rest and what to try.
  std::int64_t allocate(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label);
  /// REQUIRES: `address` came from allocate and was not freed since.
  void free(std::int64_t address);

  const Layout& layout() const { return layout_; }
  const Usage& usage() const { return usage_; }
  std::int64_t capacity_bytes() const { return (layout_.end - layout_.begin) * layout_.banks; }

 private:
  struct Allocation {
    std::int64_t bytes_per_bank;
    AllocationLabel label;
  };

  std::int64_t find(std::int64_t bytes_per_bank) const; // -1: no hole is large enough
  [[noreturn]] void fail(std::int64_t pages, std::int64_t page_bytes, std::int64_t bytes_per_bank,
                         const AllocationLabel& label) const;
  void account(const AllocationLabel& label, std::int64_t bytes);

  Layout layout_;
  Usage usage_;
  std::map<std::int64_t, std::int64_t> holes_; // address -> bytes per bank
  std::map<std::int64_t, Allocation> allocations_;
};

} // namespace tessera::runtime
