#include "tessera/perfmodel/op.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op_kinds.hpp"

namespace tessera::perfmodel {
namespace {

using Predictor = Prediction (*)(const OpCase&);

const std::map<std::string, Predictor, std::less<>>& predictors() {
  static const std::map<std::string, Predictor, std::less<>> table{
      {"linear", predict_linear},
      {"matmul", predict_linear},
      {"minimal_matmul", predict_linear},
      {"grouped_linear", predict_linear},
      {"conv2d", predict_conv},
      {"scaled_dot_product_attention", predict_attention_prefill},
      {"paged_scaled_dot_product_attention_decode", predict_attention_decode},
  };
  return table;
}

} // namespace

const OperandRecord* find_input(const OpRecord& record, std::string_view name) {
  const auto found = std::ranges::find(record.inputs, name, &OperandRecord::name);
  return found == record.inputs.end() ? nullptr : &*found;
}

std::int64_t attribute(const OpRecord& record, std::string_view name, std::int64_t otherwise) {
  for (const auto& [key, value] : record.attributes) {
    if (key == name && std::holds_alternative<std::int64_t>(value)) return std::get<std::int64_t>(value);
  }
  return otherwise;
}

std::int64_t tiles_of(const TensorSpec& spec) {
  if (spec.layout == Layout::TILE) return spec.num_matrices() * spec.tile_rows() * spec.tile_columns();
  return div_up(spec.shape.volume(), kTileElements);
}

double peak_dram_ns(const OpCase& op) {
  const OpWork& work = op.record.work;
  return static_cast<double>(work.dram_read_bytes + work.dram_write_bytes) / op.board.arch.dram_bytes_per_s * kNsPerS;
}

double peak_matrix_ns(const OpCase& op, MathFidelity fidelity) {
  const double products = static_cast<double>(op.record.work.matmul_flops) / (2.0 * kTileHeight * kTileElements);
  return products * kTileCyclesPerPass * passes(fidelity) / static_cast<double>(op.board.arch.worker_cores()) /
         op.board.arch.clock_hz * kNsPerS;
}

Prediction predict_op(const OpRecord& record, const BoardSpec& board, const Conditions& conditions,
                      const Constants& constants) {
  const OpCase op{record, board, conditions, constants};
  Prediction result;
  const bool has_operands = record.inputs.size() >= 2; // the kinds below look at both
  if (const auto predictor = predictors().find(record.name); has_operands && predictor != predictors().end()) {
    result = predictor->second(op);
  } else {
    result = is_collective(record.name) ? predict_collective(op) : predict_stream(op);
  }
  if (result.dram_bytes == 0) result.dram_bytes = record.work.dram_read_bytes + record.work.dram_write_bytes;
  if (result.error == 0) result.error = constants.errors.op;
  return result;
}

} // namespace tessera::perfmodel
