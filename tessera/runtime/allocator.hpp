#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace tessera::runtime {

/// What memory is used for: the rows of every memory report.
enum class MemoryKind { WEIGHTS, KV_CACHE, ACTIVATIONS, COLLECTIVES, TRACE };
inline constexpr std::size_t kMemoryKinds = 5;
std::string_view to_string(MemoryKind kind);

/// Who holds a piece of memory, for reports and errors.
struct AllocationLabel {
  MemoryKind kind = MemoryKind::ACTIVATIONS;
  std::string name; ///< op or tensor with its module: "layers.3.mlp.w1"
};

/// Most command queues of a device.
inline constexpr int kMaxQueues = 2;
/// A command number for each queue, 0 for none: the last command that uses some memory, or the last one of which a
/// queue knows that it has ended.
using QueueMarks = std::array<std::uint64_t, kMaxQueues>;

/// The banks of one memory of a chip, allocated in lock step: an allocation has the same address in every bank, and as
/// many bytes in each as its fullest bank needs. First fit; DRAM grows from the bottom, L1 from the top. All chips of a
/// mesh share one allocator, since every op runs on all of them.
///
/// Memory is freed by the host while queued work may still use it. The queue that used it may have it again at once,
/// since its commands run in order; another queue only when it knows that the last command which used it has ended.
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

  /// Who asks for memory.
  struct User {
    int queue = 0;
    QueueMarks seen{}; ///< commands of other queues that the queue's next command comes after
  };
  /// A piece of memory that is in use.
  struct Allocation {
    std::int64_t bytes_per_bank = 0;
    AllocationLabel label;
    std::uint64_t number = 0; ///< counted over all allocations
    QueueMarks used{};        ///< by what lay there before
    bool corruptible = false; ///< its owner knows that a replay may overwrite it
  };

  /// Address of `pages` pages of `page_bytes`, dealt out over the banks. Throws OutOfMemory, which says what was
  /// asked, what is free, who holds the rest and what to try.
  std::int64_t allocate(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label, const User& user);
  std::int64_t allocate(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label) {
    return allocate(pages, page_bytes, label, User{});
  }
  /// The same from the other end of the memory, which nothing has used.
  std::int64_t allocate_from_far_end(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label);
  /// `used`: the last command of each queue that uses the memory. REQUIRES: `address` came from allocate and was not
  /// freed since.
  void free(std::int64_t address, const QueueMarks& used = {});
  /// All commands up to these have ended: what they used is anybody's.
  void settle(const QueueMarks& ended);
  /// Command `number` of a queue uses what is free of [begin, end): a replay, which has no buffers of its own.
  void note_use(std::int64_t begin, std::int64_t end, int queue, std::uint64_t number);
  /// The last command of a queue that may use some of what is free of [begin, end); 0: none.
  std::uint64_t last_use(std::int64_t begin, std::int64_t end, int queue) const;

  /// By address.
  const std::map<std::int64_t, Allocation>& allocations() const { return allocations_; }
  /// Number of allocations ever made.
  std::uint64_t allocation_count() const { return allocation_count_; }
  void set_corruptible(std::int64_t address) { allocations_.at(address).corruptible = true; }
  /// What `pages` pages take of each bank.
  std::int64_t bytes_per_bank(std::int64_t pages, std::int64_t page_bytes) const;

  const Layout& layout() const { return layout_; }
  const Usage& usage() const { return usage_; }
  std::int64_t capacity_bytes() const { return (layout_.end - layout_.begin) * layout_.banks; }

 private:
  struct Used {
    std::int64_t end;
    QueueMarks marks;
  };

  std::int64_t find(std::int64_t bytes_per_bank, Direction direction, const User& user) const; // -1: no room
  std::int64_t take(std::int64_t address, std::int64_t bytes_per_bank, const AllocationLabel& label);
  QueueMarks cut_used(std::int64_t begin, std::int64_t end);
  [[noreturn]] void fail(std::int64_t pages, std::int64_t page_bytes, std::int64_t bytes_per_bank,
                         const AllocationLabel& label) const;
  void account(const AllocationLabel& label, std::int64_t bytes);

  Layout layout_;
  Usage usage_;
  std::map<std::int64_t, std::int64_t> holes_; // address -> bytes per bank
  std::map<std::int64_t, Used> used_;          // parts of holes that some queue may still use, by begin
  std::map<std::int64_t, Allocation> allocations_;
  std::uint64_t allocation_count_ = 0;
};

} // namespace tessera::runtime
