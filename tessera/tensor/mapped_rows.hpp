#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera::tensor {

/// Holds the pages of a mapped file behind some rows while it lives: they are fetched at once, which costs a fraction
/// of a page fault each, and let go at the end, so that they do not count as the process's memory any longer. What is
/// let go stays in the system's cache.
class MappedRows {
 public:
  /// `mapped` false: the rows are ordinary memory, nothing is done; nor is it for rows in `scratch`. Each row has
  /// `row_bytes`.
  MappedRows(bool mapped, std::span<const std::byte* const> rows, std::int64_t row_bytes,
             std::span<const std::byte> scratch);
  ~MappedRows();
  MappedRows(const MappedRows&) = delete;
  MappedRows& operator=(const MappedRows&) = delete;

 private:
  void advise(int advice) const;

  struct Run {
    std::uintptr_t begin;
    std::uintptr_t end;
  };
  std::vector<Run> runs_; // whole pages
};

} // namespace tessera::tensor
