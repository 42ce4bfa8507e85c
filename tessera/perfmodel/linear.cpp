#include <algorithm>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op_kinds.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::perfmodel {
namespace {

/// Rows that one matmul of a prefill takes at a time; longer ones are cut (tt_transformers: 1024 of an MLP).
constexpr std::int64_t kPrefillRows = 2048;

bool flag(const OpRecord& record, std::string_view name, bool otherwise) {
  for (const auto& [key, value] : record.attributes) {
    if (key == name && std::holds_alternative<bool>(value)) return std::get<bool>(value);
  }
  return otherwise;
}

/// A matmul whose cores each have rows of their own and read all of the weights: bound by tiles read and written.
Prediction narrow(const MatmulProblem& problem, const OpCase& op) {
  const ChipConstants& chip = op.chip();
  const MatmulConfig config = configure(problem, op.board.arch);
  const double rows = static_cast<double>(config.per_core_m);
  const double depth = static_cast<double>(div_up(problem.k, kTileHeight));
  const double columns = static_cast<double>(config.per_core_n);
  Prediction result;
  const double products =
      rows * depth * columns * (kTileCyclesPerPass * passes(problem.fidelity) + chip.tile_overhead_cycles);
  const bool writes =
      op.record.outputs.empty() || op.record.outputs.front().spec.memory_config.buffer_type == BufferType::DRAM;
  const double moved = (problem.in0_in_l1 ? 0.0 : rows * depth * chip.narrow_read_cycles) +
                       (writes ? rows * columns * chip.narrow_write_cycles : 0.0);
  result.cycles = chip.program_cycles + std::max(products, moved);
  result.bound = products > moved ? Bound::MATRIX_UNIT : Bound::DRAM;
  result.time_ns = result.cycles / op.board.arch.clock_hz * kNsPerS;
  return result;
}

/// A product of few rows whose weights the cores read from interleaved DRAM (experimental.minimal_matmul).
Prediction minimal(const MatmulProblem& problem, const OpCase& op) {
  const ChipConstants& chip = op.chip();
  const std::int64_t bytes = div_up(problem.k, kTileHeight) * div_up(problem.n, kTileWidth) * tile_bytes(problem.dtype);
  Prediction result;
  result.dram_bytes = bytes;
  result.time_ns = chip.minimal_matmul_ns + static_cast<double>(bytes) / chip.minimal_matmul_bytes_per_s * kNsPerS;
  result.bound = Bound::DRAM;
  return result;
}

/// One product of an op's record.
Prediction one_product(const MatmulProblem& problem, const OpCase& op) {
  if (op.record.name == "minimal_matmul") return minimal(problem, op);
  if (problem.m <= kTileHeight) return predict_decode_matmul(problem, op.board.arch, op.constants);
  if (!problem.tuned && configure(problem, op.board.arch).one_dimensional && problem.m > problem.n)
    return narrow(problem, op);
  Prediction result = predict_matmul(problem, op.board.arch, Launch::TRACED, op.constants);
  result.time_ns -= op.chip().launch_gap_ns; // the kernel alone
  return result;
}

/// Experts: each token's own weights, of which the record counts what is expected to be read.
Prediction experts(const OpCase& op) {
  const ChipConstants& chip = op.chip();
  const double dram_ns = static_cast<double>(op.record.work.dram_read_bytes) / chip.sharded_dram_bytes_per_s * kNsPerS;
  const double matrix_ns = peak_matrix_ns(op, op.record.work.fidelity) / chip.matrix_efficiency;
  Prediction result;
  result.time_ns = chip.decode_matmul_ns + overlap({dram_ns, matrix_ns});
  result.bound = dram_ns > matrix_ns ? Bound::DRAM : Bound::MATRIX_UNIT;
  result.ideal_ns = std::max(peak_matrix_ns(op, op.record.work.fidelity), peak_dram_ns(op));
  return result;
}

} // namespace

RecordedMatmul recorded_matmul(const OpRecord& record, const ArchSpec& arch) {
  const TensorSpec& a = record.inputs.at(0).spec;
  const OperandRecord* named = find_input(record, "weight");
  const TensorSpec& b = named != nullptr ? named->spec : record.inputs.at(1).spec;
  const TensorSpec& output = record.outputs.empty() ? a : record.outputs.front().spec;
  MatmulProblem problem{.m = a.shape[-2] * a.num_matrices(), // products of several matrices are dealt out like rows
                        .k = b.shape[-2],
                        .n = b.shape[-1],
                        .dtype = b.dtype,
                        .in0_dtype = a.dtype,
                        .output_dtype = output.dtype,
                        .fidelity = record.work.fidelity,
                        .tuned = flag(record, "tuned", true),
                        .in0_in_l1 = a.memory_config.buffer_type == BufferType::L1,
                        .packer_l1_acc = flag(record, "tuned", true) || flag(record, "packer_l1_acc", false),
                        .grid = {arch.worker_rows, arch.worker_columns}};
  const std::int64_t pieces = problem.tuned ? div_up(problem.m, kPrefillRows) : 1;
  problem.m = div_up(problem.m, pieces);
  return {problem, pieces};
}

Prediction predict_linear(const OpCase& op) {
  if (op.record.name == "grouped_linear") return experts(op);
  const OpRecord& record = op.record;
  const auto [problem, pieces] = recorded_matmul(record, op.board.arch);
  Prediction result = one_product(problem, op);
  const auto times = static_cast<double>(pieces);
  result.time_ns *= times;
  result.cycles *= times;
  result.dram_bytes = record.work.dram_read_bytes + record.work.dram_write_bytes;
  result.ideal_ns = std::max(peak_matrix_ns(op, record.work.fidelity), peak_dram_ns(op));
  result.error = 0;
  return result;
}

Prediction predict_conv(const OpCase& op) {
  if (op.record.outputs.empty()) return predict_stream(op);
  const ChipConstants& chip = op.chip();
  const OpRecord& record = op.record;
  const TensorSpec& weight = record.inputs.at(1).spec;
  const std::int64_t cores = attribute(record, "cores", op.board.arch.worker_cores());
  const double results = static_cast<double>(div_up(tiles_of(record.outputs.at(0).spec), cores));
  const double depth = static_cast<double>(div_up(weight.shape[-2], kTileHeight));
  const double product =
      kTileCyclesPerPass * passes(record.work.fidelity) / chip.matrix_efficiency + chip.tile_overhead_cycles;
  // Activations are gathered by the kernel for each product; the weights pass once.
  const double unpacked =
      static_cast<double>(tile_bytes(DataType::BFLOAT16) + tile_bytes(weight.dtype)) / chip.unpack_bytes_per_cycle;
  Prediction result;
  result.cycles = results * (depth * std::max(product, unpacked) + chip.conv_tile_cycles);
  result.time_ns = chip.stream_ns + result.cycles / op.board.arch.clock_hz * kNsPerS;
  result.bound = product > unpacked ? Bound::MATRIX_UNIT : Bound::UNPACKER;
  result.ideal_ns = std::max(peak_matrix_ns(op, record.work.fidelity), peak_dram_ns(op));
  return result;
}

} // namespace tessera::perfmodel
