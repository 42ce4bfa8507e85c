#include "tessera/tensor/mapped_rows.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace tessera::tensor {

MappedRows::MappedRows(bool mapped, std::span<const std::byte* const> rows, std::int64_t row_bytes,
                       std::span<const std::byte> scratch) {
  if (!mapped || row_bytes == 0) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::uintptr_t> starts;
  const auto scratch_begin = reinterpret_cast<std::uintptr_t>(scratch.data());
  for (const std::byte* row : rows) {
    const auto start = reinterpret_cast<std::uintptr_t>(row);
    if (start - scratch_begin >= scratch.size()) starts.push_back(start); // below it the difference wraps round
  }
  // The rows of a projection may come in another order than they lie.
  if (!std::is_sorted(starts.begin(), starts.end())) std::sort(starts.begin(), starts.end());
  for (const std::uintptr_t start : starts) {
    const std::uintptr_t begin = start / page * page;
    const std::uintptr_t end = (start + static_cast<std::uintptr_t>(row_bytes) + page - 1) / page * page;
    if (!runs_.empty() && begin <= runs_.back().end) {
      runs_.back().end = std::max(runs_.back().end, end);
    } else {
      runs_.push_back({begin, end});
    }
  }
  advise(MADV_POPULATE_READ);
}

MappedRows::~MappedRows() {
  advise(MADV_DONTNEED);
}

void MappedRows::advise(int advice) const {
  // Wishes: where the system does not grant them, pages come by faults and stay.
  for (const Run& run : runs_) ::madvise(reinterpret_cast<void*>(run.begin), run.end - run.begin, advice);
}

} // namespace tessera::tensor
