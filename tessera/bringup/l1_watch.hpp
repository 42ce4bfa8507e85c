#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/report.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::bringup {

/// The name of the figure that says whether a module fits L1: bytes of a core at the fullest moment, circular buffers
/// and tensors, held to what programs and tensors may have of it.
inline constexpr const char* kL1Figure = "l1_bytes_per_core";

/// Watches how full the L1 of some devices gets while it lives. One at a time on a device.
class L1Watch {
 public:
  /// No devices: nothing is known, `judge` leaves rows as they are.
  explicit L1Watch(const std::vector<runtime::MeshDevice*>& devices);

  /// Adds the verdict to a row: the figure `kL1Figure`, and where it does not hold or is near, what filled L1.
  void judge(Row& row) const;

 private:
  const std::vector<runtime::MeshDevice*>& devices_;
};

/// The row that `judge` gives for a module, with the verdict on L1. When `judge` throws Error the module fails and its
/// row says why: one that does not fit leaves the rows of the others.
Row judge_on_device(const std::string& module, const std::vector<runtime::MeshDevice*>& devices,
                    const std::function<Row()>& judge);

} // namespace tessera::bringup
