#include "tessera/runtime/allocator.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::runtime {
namespace {

bool may_use(const QueueMarks& marks, const BankAllocator::User& user) {
  for (int queue = 0; queue < kMaxQueues; ++queue) {
    const auto i = static_cast<std::size_t>(queue);
    if (queue != user.queue && marks[i] > user.seen[i]) return false;
  }
  return true;
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

} // namespace

std::string_view to_string(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::WEIGHTS:
      return "weights";
    case MemoryKind::KV_CACHE:
      return "KV cache";
    case MemoryKind::ACTIVATIONS:
      return "activations";
    case MemoryKind::COLLECTIVES:
      return "outputs of collectives";
    case MemoryKind::TRACE:
      return "traces";
  }
  return "?";
}

BankAllocator::BankAllocator(Layout layout) : layout_(std::move(layout)) {
  layout_.begin = round_up(layout_.begin, layout_.alignment);
  layout_.end = layout_.end / layout_.alignment * layout_.alignment;
  holes_[layout_.begin] = layout_.end - layout_.begin;
}

std::int64_t BankAllocator::find(std::int64_t bytes_per_bank, Direction direction, const User& user) const {
  // First fit in the holes, less the parts that another queue may still use.
  std::int64_t found = -1;
  const auto consider = [&](std::int64_t begin, std::int64_t end) {
    if (end - begin < bytes_per_bank) return;
    if (direction == Direction::TOP_DOWN) {
      found = end - bytes_per_bank;
    } else if (found < 0) {
      found = begin;
    }
  };
  const auto walk = [&](std::int64_t begin, std::int64_t end) {
    auto used = used_.upper_bound(begin);
    if (used != used_.begin()) --used;
    for (; used != used_.end() && used->first < end; ++used) {
      if (used->second.end <= begin || may_use(used->second.marks, user)) continue;
      consider(begin, used->first);
      begin = used->second.end;
    }
    consider(begin, end);
  };
  if (direction == Direction::BOTTOM_UP) {
    for (auto hole = holes_.begin(); hole != holes_.end() && found < 0; ++hole)
      walk(hole->first, hole->first + hole->second);
  } else {
    for (auto hole = holes_.rbegin(); hole != holes_.rend() && found < 0; ++hole)
      walk(hole->first, hole->first + hole->second);
  }
  return found;
}

std::int64_t BankAllocator::bytes_per_bank(std::int64_t pages, std::int64_t page_bytes) const {
  return div_up(pages, layout_.banks) * round_up(page_bytes, layout_.alignment);
}

std::int64_t BankAllocator::allocate(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label,
                                     const User& user) {
  const std::int64_t bytes = bytes_per_bank(pages, page_bytes);
  const std::int64_t address = find(bytes, layout_.direction, user);
  if (address < 0) fail(pages, page_bytes, bytes, label);
  return take(address, bytes, label);
}

std::int64_t BankAllocator::allocate_from_far_end(std::int64_t pages, std::int64_t page_bytes,
                                                  const AllocationLabel& label) {
  const std::int64_t bytes = bytes_per_bank(pages, page_bytes);
  const bool bottom_up = layout_.direction == Direction::BOTTOM_UP;
  const std::int64_t address = find(bytes, bottom_up ? Direction::TOP_DOWN : Direction::BOTTOM_UP, {});
  if (address < 0) fail(pages, page_bytes, bytes, label);
  return take(address, bytes, label);
}

std::int64_t BankAllocator::take(std::int64_t address, std::int64_t bytes_per_bank, const AllocationLabel& label) {
  const auto hole = std::prev(holes_.upper_bound(address));
  const auto [hole_begin, hole_bytes] = *hole;
  const std::int64_t after = hole_begin + hole_bytes - (address + bytes_per_bank);
  if (address > hole_begin) {
    hole->second = address - hole_begin;
  } else {
    holes_.erase(hole);
  }
  if (after > 0) holes_[address + bytes_per_bank] = after;

  Allocation allocation{.bytes_per_bank = bytes_per_bank, .label = label, .number = ++allocation_count_};
  if (!used_.empty()) allocation.used = cut_used(address, address + bytes_per_bank);
  allocations_.emplace(address, std::move(allocation));
  account(label, bytes_per_bank * layout_.banks);
  return address;
}

QueueMarks BankAllocator::cut_used(std::int64_t begin, std::int64_t end) {
  QueueMarks marks{};
  auto used = used_.upper_bound(begin);
  if (used != used_.begin()) --used;
  while (used != used_.end() && used->first < end) {
    const auto [used_begin, piece] = *used;
    if (piece.end <= begin) {
      ++used;
      continue;
    }
    for (std::size_t i = 0; i < marks.size(); ++i) marks[i] = std::max(marks[i], piece.marks[i]);
    used = used_.erase(used);
    if (used_begin < begin) used_.emplace(used_begin, Used{begin, piece.marks});
    if (piece.end > end) used_.emplace(end, Used{piece.end, piece.marks});
  }
  return marks;
}

void BankAllocator::free(std::int64_t address, const QueueMarks& used) {
  const auto allocation = allocations_.find(address);
  if (allocation == allocations_.end()) return;
  const std::int64_t bytes = allocation->second.bytes_per_bank;
  QueueMarks marks = allocation->second.used;
  for (std::size_t i = 0; i < marks.size(); ++i) marks[i] = std::max(marks[i], used[i]);
  if (marks != QueueMarks{}) used_.emplace(address, Used{address + bytes, marks});
  account(allocation->second.label, -bytes * layout_.banks);
  allocations_.erase(allocation);

  auto hole = holes_.emplace(address, bytes).first;
  if (const auto next = std::next(hole); next != holes_.end() && hole->first + hole->second == next->first) {
    hole->second += next->second;
    holes_.erase(next);
  }
  if (hole != holes_.begin()) {
    const auto previous = std::prev(hole);
    if (previous->first + previous->second == hole->first) {
      previous->second += hole->second;
      holes_.erase(hole);
    }
  }
}

void BankAllocator::settle(const QueueMarks& ended) {
  const auto over = [&](const auto& piece) {
    for (std::size_t i = 0; i < ended.size(); ++i) {
      if (piece.second.marks[i] > ended[i]) return false;
    }
    return true;
  };
  std::erase_if(used_, over);
}

void BankAllocator::note_use(std::int64_t begin, std::int64_t end, int queue, std::uint64_t number) {
  auto hole = holes_.upper_bound(begin);
  if (hole != holes_.begin()) --hole;
  for (; hole != holes_.end() && hole->first < end; ++hole) {
    const std::int64_t first = std::max(begin, hole->first);
    const std::int64_t last = std::min(end, hole->first + hole->second);
    if (first >= last) continue;
    QueueMarks marks = cut_used(first, last);
    std::uint64_t& mark = marks[static_cast<std::size_t>(queue)];
    mark = std::max(mark, number);
    used_.emplace(first, Used{last, marks});
  }
}

std::uint64_t BankAllocator::last_use(std::int64_t begin, std::int64_t end, int queue) const {
  std::uint64_t last = 0;
  auto used = used_.upper_bound(begin);
  if (used != used_.begin()) --used;
  for (; used != used_.end() && used->first < end; ++used) {
    if (used->second.end > begin) last = std::max(last, used->second.marks[static_cast<std::size_t>(queue)]);
  }
  return last;
}

void BankAllocator::account(const AllocationLabel& label, std::int64_t bytes) {
  const auto kind = static_cast<std::size_t>(label.kind);
  usage_.used_bytes += bytes;
  usage_.used_by_kind[kind] += bytes;
  usage_.peak_bytes = std::max(usage_.peak_bytes, usage_.used_bytes);
  usage_.peak_by_kind[kind] = std::max(usage_.peak_by_kind[kind], usage_.used_by_kind[kind]);
}

void BankAllocator::fail(std::int64_t pages, std::int64_t page_bytes, std::int64_t bytes_per_bank,
                         const AllocationLabel& label) const {
  std::int64_t largest_hole = 0;
  for (const auto& [address, bytes] : holes_) largest_hole = std::max(largest_hole, bytes);
  std::string holders;
  for (std::size_t kind = 0; kind < kMemoryKinds; ++kind) {
    if (usage_.used_by_kind[kind] == 0) continue;
    holders += fmt::format("{}{} {}", holders.empty() ? "" : ", ", to_string(static_cast<MemoryKind>(kind)),
                           megabytes(usage_.used_by_kind[kind]));
  }
  throw base::OutOfMemory(fmt::format(
      "[allocate] {} for {} ({}) must fit the {} of one {} chip: {} pages of {} bytes over {} banks, {} a bank; of {} "
      "in all {} are free, the largest hole is {} a bank; held by: {}{}; try a smaller precision (--precision bfp8 or "
      "bfp4), a smaller --context or batch, or more chips",
      megabytes(bytes_per_bank * layout_.banks), label.name, to_string(label.kind), layout_.name, layout_.board, pages,
      page_bytes, layout_.banks, megabytes(bytes_per_bank), megabytes(capacity_bytes()),
      megabytes(capacity_bytes() - usage_.used_bytes), megabytes(largest_hole), holders.empty() ? "nothing" : holders,
      used_.empty() ? "" : "; part of what is free waits for an event of another queue"));
}

} // namespace tessera::runtime
