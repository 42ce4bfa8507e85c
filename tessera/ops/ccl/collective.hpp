#pragma once

#include <optional>
#include <string_view>

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/ccl/chip_groups.hpp"
#include "tessera/ops/ccl/traffic.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// What all collectives check, derive and record.
class Collective {
 public:
  /// Throws InvalidArgument unless the input is a floating-point or ROW_MAJOR tensor of rank 2 or more, the mesh has
  /// the axis and the board the links.
  Collective(std::string_view op, const Tensor& input, CclOptions options);

  const ChipGroups& groups() const { return groups_; }
  Topology topology() const { return options_.topology; }
  /// Whether the input is the result: nobody to speak to, and no other place to go.
  bool is_identity() const;

  /// Throws InvalidArgument unless the input has the dimension; counted from the outermost, not negative.
  void require_dim(std::string_view argument, int dim) const;
  /// Throws InvalidArgument unless the chips of a group divide the dimension's extent.
  void require_divisible(int dim) const;

  /// An output of `shape` in the input's format.
  Tensor allocate(const Shape& shape) const;
  /// Queues the stage as the op's program, which needs the input of a chip's whole group. The record's attributes:
  /// `own` (dim and the like), cluster_axis unless all chips take part, topology, num_links, num_devices (of a group),
  /// hops. Its work gets the bytes of each link.
  void launch(runtime::Stage stage, Operands outputs, const Traffic& traffic, const OpDetails& own) const;
  /// The same for a stage that needs what `exchange` brings.
  void launch(runtime::Stage stage, runtime::Messages exchange, Operands outputs, const Traffic& traffic,
              const OpDetails& own) const;

 private:
  runtime::Messages exchange() const;

  std::string_view op_;
  Tensor input_;
  CclOptions options_;
  ChipGroups groups_;
  std::int64_t num_links_;
};

} // namespace tessera::ops
