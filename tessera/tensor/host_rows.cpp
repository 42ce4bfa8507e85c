#include "tessera/tensor/host_rows.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "tessera/base/error.hpp"

namespace tessera::tensor {

HostRows rows_of(HostTensor tensor) {
  base::require(tensor.shape.rank() >= 1 && tensor.shape.volume() > 0 &&
                    static_cast<std::int64_t>(tensor.data.size()) == tensor.shape.volume(),
                "[from_host] as many values as the shape {} says, and one at least, are required; received {}",
                tensor.shape, tensor.data.size());
  const std::int64_t columns = tensor.shape[-1];
  const std::int64_t rows = tensor.shape.volume() / columns;
  auto owned = std::make_shared<const HostTensor>(std::move(tensor));
  return {rows, columns, [owned, columns](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
            std::copy_n(owned->data.data() + row * columns + first, count, out);
          }};
}

HostRows pick_rows(HostRows source, std::int64_t rows, std::function<std::int64_t(std::int64_t)> row_of,
                   std::int64_t first_column, std::int64_t columns) {
  HostRows result{.rows = rows, .columns = columns, .mapped = source.mapped};
  const std::int64_t there = std::clamp<std::int64_t>(source.columns - first_column, 0, columns);
  result.read = [read = std::move(source.read), row_of, first_column, there](std::int64_t row, std::int64_t first,
                                                                             std::int64_t count, float* out) {
    const std::int64_t from = row_of(row);
    const std::int64_t inside = from < 0 ? 0 : std::clamp<std::int64_t>(there - first, 0, count);
    if (inside > 0) read(from, first_column + first, inside, out);
    std::fill(out + inside, out + count, 0.0F);
  };
  if (source.bf16_row == nullptr) return result;
  const auto bytes = [](std::int64_t values) { return static_cast<std::size_t>(values) * sizeof(std::uint16_t); };
  result.bf16_row = [bf16_row = std::move(source.bf16_row), row_of = std::move(row_of), first_column, columns, there,
                     row_bytes = bytes(source.columns),
                     bytes](std::int64_t row, std::byte* scratch) -> const std::byte* {
    const std::int64_t from = row_of(row);
    if (from < 0 || there == 0) {
      std::memset(scratch, 0, bytes(columns));
      return scratch;
    }
    // The source may write a whole row of its own, which can be longer than this one's scratch.
    const bool fits = row_bytes <= bytes(columns);
    const auto longer = fits ? nullptr : std::make_unique_for_overwrite<std::byte[]>(row_bytes);
    std::byte* const room = fits ? scratch : longer.get();
    const std::byte* const whole = bf16_row(from, room);
    const std::byte* const part = whole + bytes(first_column);
    if (there == columns && (whole != room || part == scratch)) return part;
    std::memmove(scratch, part, bytes(there));
    std::memset(scratch + bytes(there), 0, bytes(columns - there));
    return scratch;
  };
  return result;
}

HostRows slice(HostRows source, std::int64_t first_row, std::int64_t rows, std::int64_t first_column,
               std::int64_t columns) {
  const auto row_of = [first_row, all = source.rows](std::int64_t row) {
    return first_row + row < all ? first_row + row : -1;
  };
  return pick_rows(std::move(source), rows, row_of, first_column, columns);
}

} // namespace tessera::tensor
