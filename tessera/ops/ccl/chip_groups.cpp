#include "tessera/ops/ccl/chip_groups.hpp"

#include "tessera/base/error.hpp"

namespace tessera::ops {

ChipGroups::ChipGroups(std::string_view op, const BoardSpec& board, std::optional<int> cluster_axis)
    : size_(board.chips()), stride_(1) {
  if (!cluster_axis) return;
  base::require(*cluster_axis == 0 || *cluster_axis == 1,
                "[{}] cluster_axis must be 0 (along mesh columns) or 1 (along mesh rows), or none for all chips; "
                "received {}",
                op, *cluster_axis);
  size_ = *cluster_axis == 0 ? board.mesh_rows : board.mesh_columns;
  stride_ = *cluster_axis == 0 ? board.mesh_columns : 1;
}

} // namespace tessera::ops
