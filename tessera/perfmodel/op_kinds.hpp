#pragma once

#include <cstdint>
#include <string_view>

#include "tessera/perfmodel/constants.hpp"
#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op.hpp"
#include "tessera/spec/tile.hpp"

// What the predictions of single kinds of ops share. Private to this folder.

namespace tessera::perfmodel {

inline constexpr double kNsPerS = 1e9;

/// An op on a chip.
struct OpCase {
  const OpRecord& record;
  const BoardSpec& board;
  const Conditions& conditions;
  const Constants& constants;

  const ChipConstants& chip() const { return constants.of(board.arch); }
};

/// The operand of this name; null: none.
const OperandRecord* find_input(const OpRecord& record, std::string_view name);
/// An integer attribute; `otherwise` where it is absent.
std::int64_t attribute(const OpRecord& record, std::string_view name, std::int64_t otherwise);
/// Tiles of a tensor; of ROW_MAJOR ones as many elements.
std::int64_t tiles_of(const TensorSpec& spec);
double peak_dram_ns(const OpCase& op);
/// The roofline of the matrix unit for the record's FLOPs at a fidelity.
double peak_matrix_ns(const OpCase& op, MathFidelity fidelity);

/// The product that an op's record tells of, one of `pieces` equal ones that are done after each other.
struct RecordedMatmul {
  MatmulProblem problem;
  std::int64_t pieces = 1;
};
RecordedMatmul recorded_matmul(const OpRecord& record, const ArchSpec& arch);

/// Flash decode gives one head of one user at most so many cores (TT-NN's max_cores_per_head_batch).
inline constexpr std::int64_t kMostCoresOfHead = 16;

Prediction predict_linear(const OpCase& op);
Prediction predict_conv(const OpCase& op);
Prediction predict_attention_prefill(const OpCase& op);
Prediction predict_attention_decode(const OpCase& op);
Prediction predict_collective(const OpCase& op);
Prediction predict_stream(const OpCase& op);
bool is_collective(std::string_view name);

} // namespace tessera::perfmodel
