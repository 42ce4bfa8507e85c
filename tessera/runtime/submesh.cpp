#include "tessera/runtime/submesh.hpp"

#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::runtime {
namespace {

bool overlap(const MeshRegion& a, const MeshRegion& b) {
  return a.first_row < b.first_row + b.rows && b.first_row < a.first_row + a.rows &&
         a.first_column < b.first_column + b.columns && b.first_column < a.first_column + a.columns;
}

} // namespace

std::string to_string(const MeshRegion& region) {
  return fmt::format("[{},{} {}x{}]", region.first_row, region.first_column, region.rows, region.columns);
}

std::size_t SubmeshTable::count() {
  std::erase_if(submeshes_, [](const Submesh& submesh) { return submesh.device.expired(); });
  return submeshes_.size();
}

void SubmeshTable::require_free(const std::string& mesh, const BoardSpec& board, const MeshRegion& region) {
  base::require(1 <= region.rows && 1 <= region.columns && 0 <= region.first_row && 0 <= region.first_column &&
                    region.first_row + region.rows <= board.mesh_rows &&
                    region.first_column + region.columns <= board.mesh_columns,
                "[create_submesh] chips of {}, which is {}x{}, are required; received {}", mesh, board.mesh_rows,
                board.mesh_columns, to_string(region));
  count();
  for (const Submesh& other : submeshes_) {
    base::require(!overlap(region, other.region),
                  "[create_submesh] chips of {} that no other submesh has are required; {} and {} overlap; let the "
                  "other go first",
                  mesh, to_string(region), to_string(other.region));
  }
}

void SubmeshTable::add(const MeshRegion& region, std::weak_ptr<MeshDevice> submesh) {
  submeshes_.push_back({region, std::move(submesh)});
}

void SubmeshTable::require_none_lives(std::string_view tried, const std::string& mesh) {
  base::require(count() == 0,
                "[{}] {} is cut into {} submeshes, whose chips they are; use one of these, or let them go", tried, mesh,
                submeshes_.size());
}

} // namespace tessera::runtime
