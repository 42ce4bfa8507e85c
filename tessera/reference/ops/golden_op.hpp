#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tessera/spec/op_record.hpp"

namespace tessera::reference {

/// An operand of an op on one chip: values of floating-point formats widened to fp32, integers as they are (UINT32 by
/// their bits). One of the two lists is empty.
struct OperandValues {
  Shape shape;
  std::vector<float> data;
  std::vector<std::int32_t> integers;
};
/// In the order of the record's inputs.
using ChipOperands = std::vector<OperandValues>;

/// What is asked of a golden function: the op's outputs on one chip.
struct GoldenRequest {
  const OpRecord& record;
  std::int64_t mesh_rows = 1;
  std::int64_t mesh_columns = 1;
  std::int64_t chip = 0;
  /// Inputs of all chips. Of an op that is no collective, those of `chip` alone are read.
  std::span<const ChipOperands> chips;
};

struct GoldenOutput {
  OperandValues values;
  /// For each run of values.size() / counts.size() neighbours: 1 where the op says what they are. Empty: everywhere.
  std::vector<std::uint8_t> counts;
  /// Integers that are as right as those in `values`: another token where a draw falls on the border of two.
  std::vector<std::vector<std::int32_t>> alternatives;
};

/// Whether there is a golden function for the op of this name. None without libtorch.
bool has_golden(std::string_view op);
/// Whether the op's outputs on one chip depend on the inputs of others.
bool is_collective(std::string_view op);
/// The names of all ops that have one.
std::vector<std::string_view> golden_ops();

/// What the op gives, from its record (operands' specs and attributes) and its inputs: computed by libtorch in double
/// precision from the op's definition, rounded to fp32 once, not to the output's format. Outputs in the order of the
/// record's. Shares no code with the device's kernels. Throws InvalidArgument for an op without a golden function, for
/// a record that lacks an attribute and for operands that do not fit; Unsupported in a build without libtorch.
std::vector<GoldenOutput> golden(const GoldenRequest& request);

} // namespace tessera::reference
