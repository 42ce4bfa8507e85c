#include "tessera/ops/ccl/chip_groups.hpp"

#include "tessera/base/error.hpp"

namespace tessera::ops {

ChipGroups::ChipGroups(std::string_view op, const runtime::MeshDevice& device, std::optional<int> cluster_axis)
    : size_(device.chips()),
      stride_(1),
      first_local_(device.first_local_chip()),
      end_local_(first_local_ + device.local_chips()) {
  if (!cluster_axis) return;
  base::require(*cluster_axis == 0 || *cluster_axis == 1,
                "[{}] cluster_axis must be 0 (along mesh columns) or 1 (along mesh rows), or none for all chips; "
                "received {}",
                op, *cluster_axis);
  const BoardSpec& board = device.board();
  size_ = *cluster_axis == 0 ? board.mesh_rows : board.mesh_columns;
  stride_ = *cluster_axis == 0 ? board.mesh_columns : 1;
}

std::int64_t ChipGroups::locals_before(std::int64_t chip, std::int64_t end_place) const {
  std::int64_t count = 0;
  for (std::int64_t place = 0; place < end_place; ++place) count += is_local(member(chip, place)) ? 1 : 0;
  return count;
}

} // namespace tessera::ops
