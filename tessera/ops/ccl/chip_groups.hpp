#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tessera/runtime/mesh_device.hpp"

namespace tessera::ops {

/// The chips that take part in a collective together: every chip is in one group, and all groups are of one size.
class ChipGroups {
 public:
  /// Groups along a mesh axis, or one group of all chips. Throws InvalidArgument, naming `op`, for an axis that a mesh
  /// lacks.
  ChipGroups(std::string_view op, const runtime::MeshDevice& device, std::optional<int> cluster_axis);

  /// Chips of one group.
  std::int64_t size() const { return size_; }
  /// Whether the chip is one of this rank.
  bool is_local(std::int64_t chip) const { return first_local_ <= chip && chip < end_local_; }
  /// Chips of a chip's group that are of this rank, and how many of them lie before it.
  std::int64_t local_size(std::int64_t chip) const { return locals_before(chip, size_); }
  std::int64_t local_place(std::int64_t chip) const { return locals_before(chip, place(chip)); }
  /// A chip's place in its group.
  std::int64_t place(std::int64_t chip) const { return chip / stride_ % size_; }
  /// The chip at `place` of the group that `chip` is in.
  std::int64_t member(std::int64_t chip, std::int64_t place) const {
    return chip + (place - this->place(chip)) * stride_;
  }

 private:
  std::int64_t locals_before(std::int64_t chip, std::int64_t end_place) const;

  std::int64_t size_;
  std::int64_t stride_;
  std::int64_t first_local_;
  std::int64_t end_local_;
};

} // namespace tessera::ops
