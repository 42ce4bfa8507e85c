#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/reference/ops/golden_op.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::bringup {

/// An op that ran on a device: what it was, what it got and what it gave. A collective's chips stand together; of every
/// other op a case has one chip.
struct OpCase {
  OpRecord record;   ///< operands without addresses; of caches and tables the part that the op touched
  std::string board; ///< the device's
  std::int64_t mesh_rows = 1;
  std::int64_t mesh_columns = 1;
  std::int64_t first_chip = 0; ///< on the device, of the case's chip 0
  runtime::Numerics numerics = runtime::Numerics::NATIVE;
  std::vector<reference::ChipOperands> inputs;  ///< of each chip, in the order of the record's
  std::vector<reference::ChipOperands> outputs; ///< the same

  std::int64_t chips() const { return mesh_rows * mesh_columns; }
};

/// An output beside what the op's golden function expects.
struct OpFigures {
  std::string output;
  std::int64_t chip = 0; ///< on the device
  double pcc = 1.0;
  double max_abs_error = 0.0;
  double relative_frobenius_error = 0.0;
  double pcc_limit = 0.0;                ///< least
  double relative_frobenius_limit = 0.0; ///< most; 0: exactly
  bool passed = true;

  /// How far the error is towards its limit: above 1 it is beyond. Ranks ops of different formats.
  double severity() const;
};

/// Compares all outputs of a case with its golden function's: the worst one. `strictness` divides what the limits leave
/// for arithmetic and rounding. Throws as reference::golden does.
OpFigures judge(const OpCase& op, double strictness = 1.0);

/// Writes a case as safetensors: tensors `chip0.input0.<name>`, `chip0.output0.<name>` and, as the golden function
/// gives it, `chip0.expected0.<name>`; in the metadata under `tessera_op` the record and where it ran, as JSON.
void save_case(const std::filesystem::path& path, const OpCase& op);
/// Throws IoError for files that are no case.
OpCase load_case(const std::filesystem::path& path);

} // namespace tessera::bringup
