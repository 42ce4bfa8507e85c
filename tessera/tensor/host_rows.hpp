#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::tensor {

/// A matrix on the host that is read in pieces, so that a tensor larger than memory, or one put together from several,
/// can be converted straight into device memory. Its functions are called from several threads at once and must own
/// what they read from.
struct HostRows {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// `read(row, first, count, out)` writes elements (row, first .. first+count) as fp32.
  std::function<void(std::int64_t row, std::int64_t first, std::int64_t count, float* out)> read;
  /// For values that are bfloat16, the quick way: where a whole row lies. That may be `scratch`, which has room for a
  /// row and is written then. Empty for other values.
  std::function<const std::byte*(std::int64_t row, std::byte* scratch)> bf16_row;
  /// All that bf16_row gives, but for what it wrote into `scratch`, lies in a mapped file. Its pages are fetched in
  /// long runs, and let go once converted: a checkpoint passes through the process without adding to its memory.
  bool mapped = false;
};

/// Rows over a host tensor, which it owns: all but the last dimension folded.
HostRows rows_of(HostTensor tensor);

/// Rows row_of(0), row_of(1), ... row_of(rows - 1) of a matrix, and of those `columns` columns from `first_column` on.
/// A row number of -1 and columns beyond the matrix's last are zeros.
HostRows pick_rows(HostRows source, std::int64_t rows, std::function<std::int64_t(std::int64_t)> row_of,
                   std::int64_t first_column, std::int64_t columns);
/// A box of a matrix, zeros where it reaches beyond the matrix.
HostRows slice(HostRows source, std::int64_t first_row, std::int64_t rows, std::int64_t first_column,
               std::int64_t columns);

} // namespace tessera::tensor
