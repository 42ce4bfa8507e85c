#include "tessera/runtime/allocator.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::runtime {
namespace {

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
  }
  return "?";
}

BankAllocator::BankAllocator(Layout layout) : layout_(std::move(layout)) {
  layout_.begin = round_up(layout_.begin, layout_.alignment);
  layout_.end = layout_.end / layout_.alignment * layout_.alignment;
  holes_[layout_.begin] = layout_.end - layout_.begin;
}

std::int64_t BankAllocator::find(std::int64_t bytes_per_bank) const {
  const auto fits = [&](const auto& hole) { return hole.second >= bytes_per_bank; };
  if (layout_.direction == Direction::BOTTOM_UP) {
    const auto hole = std::find_if(holes_.begin(), holes_.end(), fits);
    return hole == holes_.end() ? -1 : hole->first;
  }
  const auto hole = std::find_if(holes_.rbegin(), holes_.rend(), fits);
  return hole == holes_.rend() ? -1 : hole->first + hole->second - bytes_per_bank;
}

std::int64_t BankAllocator::allocate(std::int64_t pages, std::int64_t page_bytes, const AllocationLabel& label) {
  const std::int64_t bytes_per_bank = div_up(pages, layout_.banks) * round_up(page_bytes, layout_.alignment);
  const std::int64_t address = find(bytes_per_bank);
  if (address < 0) fail(pages, page_bytes, bytes_per_bank, label);

  const auto hole = std::prev(holes_.upper_bound(address));
  const auto [hole_begin, hole_bytes] = *hole;
  holes_.erase(hole);
  if (address > hole_begin) holes_[hole_begin] = address - hole_begin;
  const std::int64_t after = hole_begin + hole_bytes - (address + bytes_per_bank);
  if (after > 0) holes_[address + bytes_per_bank] = after;

  allocations_.emplace(address, Allocation{bytes_per_bank, label});
  account(label, bytes_per_bank * layout_.banks);
  return address;
}

void BankAllocator::free(std::int64_t address) {
  const auto allocation = allocations_.find(address);
  if (allocation == allocations_.end()) return;
  const std::int64_t bytes = allocation->second.bytes_per_bank;
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
      "in all {} are free, "
      "the largest hole is {} a bank; held by: {}; try a smaller precision (--precision bfp8), a smaller --context or "
      "batch, or more chips",
      megabytes(bytes_per_bank * layout_.banks), label.name, to_string(label.kind), layout_.name, layout_.board, pages,
      page_bytes, layout_.banks, megabytes(bytes_per_bank), megabytes(capacity_bytes()),
      megabytes(capacity_bytes() - usage_.used_bytes), megabytes(largest_hole), holders.empty() ? "nothing" : holders));
}

} // namespace tessera::runtime
