#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::runtime {

/// Which chips of a mesh read the same bytes of a tensor that no op writes to: chip c has block number
/// c / divisor % modulus, which lies in the host memory of chip number `block`. Each chip pays for its bytes on the
/// card all the same.
///   every chip its own            {}
///   all chips the same            {1, 1}
///   those of a mesh column        {1, mesh_columns}
///   those of a mesh row           {mesh_columns, mesh_rows}
struct Sharing {
  std::uint32_t divisor = 1;
  std::uint32_t modulus = 0; ///< 0: every chip its own

  bool shares() const { return modulus != 0; }
  std::int64_t block(std::int64_t chip) const {
    return modulus == 0 ? chip : static_cast<std::uint32_t>(chip) / divisor % modulus;
  }

  friend bool operator==(const Sharing&, const Sharing&) = default;
};

/// Where a buffer's bytes lie on the host.
struct HostBytes {
  std::byte* data = nullptr; ///< block 0's; null in record mode
  std::int64_t chip_stride = 0;
  Sharing sharing;

  std::byte* of(std::int64_t chip) const { return data + sharing.block(chip) * chip_stride; }
};

} // namespace tessera::runtime
