#pragma once

#include "tessera/ops/ccl/arrangement.hpp"
#include "tessera/ops/ccl/chip_groups.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// What a stage of a collective works on. Its kernels reach into all chips' memory.
struct StageOperands {
  DeviceView input;
  DeviceView output;
  TensorSpec input_spec;
  TensorSpec output_spec;
  ChipGroups groups;
  std::int64_t chips;
  /// All chips of a group get the same output: each makes a share of it and writes that to all of them, as far as they
  /// are of one rank. Else each chip makes its own.
  bool replicated = false;
  bool exact; ///< sums are made and packed hop by hop, as the card's units do
  ArchSpec arch;

  StageOperands(const Tensor& in, const Tensor& out, const ChipGroups& chip_groups, bool is_replicated)
      : input(in.view()),
        output(out.view()),
        input_spec(in.spec()),
        output_spec(out.spec()),
        groups(chip_groups),
        chips(in.device().chips()),
        replicated(is_replicated),
        exact(in.device().numerics() == runtime::Numerics::EXACT),
        arch(in.device().board().arch) {}
};

/// The output is put together of the inputs' elements. Tiles that stay whole are copied bit for bit; others are widened
/// to fp32 and stored again, which rounds where a block format's neighbours change.
runtime::Stage assemble(const StageOperands& operands, const Arrangement& arrangement);
/// The output is the sum over the chips of a group of what `arrangement`, which has no concat, takes of their inputs:
/// in fp32, in ascending order of the chips' places, rounded once; exact: by sum_units, chip after chip. REQUIRES: TILE
/// layout.
runtime::Stage sum(const StageOperands& operands, const Arrangement& arrangement);

/// What a hop of a sum does to a tile: so_far + received, packed in the tensors' format.
Decomposition sum_units(DataType dtype);

/// body(chip, first, count) for pieces of `bytes` bytes, each of which it writes `writes` times.
runtime::Stage copy_bytes(std::int64_t bytes, std::int64_t writes,
                          std::function<void(std::int64_t chip, std::int64_t first, std::int64_t count)> body);

} // namespace tessera::ops
