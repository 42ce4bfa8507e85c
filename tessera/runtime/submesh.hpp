#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/spec/board_spec.hpp"

namespace tessera::runtime {

class MeshDevice;

/// A rectangle of a mesh's chips.
struct MeshRegion {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t first_row = 0;
  std::int64_t first_column = 0;

  friend bool operator==(const MeshRegion&, const MeshRegion&) = default;
};
/// "[0,4 1x4]": the first chip's row and column, then the extents.
std::string to_string(const MeshRegion& region);

/// The submeshes of a mesh that live.
class SubmeshTable {
 public:
  /// Throws InvalidArgument, naming the mesh, unless the region lies in it and apart from all living submeshes.
  void require_free(const std::string& mesh, const BoardSpec& board, const MeshRegion& region);
  void add(const MeshRegion& region, std::weak_ptr<MeshDevice> submesh);
  /// Throws InvalidArgument, naming what was tried, while a submesh lives: its chips are not the parent's to use.
  void require_none(std::string_view tried, const std::string& mesh) {
    if (!submeshes_.empty()) require_none_lives(tried, mesh);
  }
  /// Submeshes that live.
  std::size_t count();

 private:
  struct Submesh {
    MeshRegion region;
    std::weak_ptr<MeshDevice> device;
  };
  void require_none_lives(std::string_view tried, const std::string& mesh);

  std::vector<Submesh> submeshes_;
};

} // namespace tessera::runtime
