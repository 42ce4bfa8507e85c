#include <algorithm>
#include <cmath>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op_kinds.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::perfmodel {
namespace {

/// Keys that one core takes at a time before another one helps.
constexpr std::int64_t kKeysOfCore = 512;

} // namespace

Prediction predict_attention_decode(const OpCase& op) {
  const ChipConstants& chip = op.chip();
  const OperandRecord* q = find_input(op.record, "input_tensor_q");
  const OperandRecord* k = find_input(op.record, "input_tensor_k");
  if (q == nullptr || k == nullptr) return predict_stream(op);
  const TensorSpec& cache = k->spec; // [blocks, Hkv, block size, D]
  const std::int64_t users = q->spec.shape[1];
  const std::int64_t kv_heads = cache.shape[1];
  const OperandRecord* table = find_input(op.record, "page_table_tensor");
  const std::int64_t pages =
      table != nullptr ? table->spec.shape[-1] : cache.shape[0] / std::max<std::int64_t>(users, 1);
  const std::int64_t capacity = pages * cache.shape[2];
  std::int64_t keys = op.conditions.position > 0 ? std::min(op.conditions.position, capacity) : capacity;
  if (const std::int64_t window = attribute(op.record, "sliding_window_size", 0); window > 0)
    keys = std::min(keys, window);
  const std::int64_t heads = users * kv_heads;
  const std::int64_t cores = op.board.arch.worker_cores();
  const std::int64_t of_head = std::clamp<std::int64_t>(cores / heads, 1, kMostCoresOfHead);
  const std::int64_t rounds = div_up(heads, cores);
  const std::int64_t active = std::min(of_head, div_up(keys, kKeysOfCore));
  const std::int64_t chunks = div_up(keys, kTileHeight);
  const double cycles = static_cast<double>(rounds * div_up(chunks, of_head)) * chip.attention_chunk_cycles;
  const std::int64_t bytes = heads * chunks * cache.tile_columns() * 2 * tile_bytes(cache.dtype);
  const double dram_ns = static_cast<double>(bytes) / chip.attention_dram_bytes_per_s * kNsPerS;
  const double compute_ns = cycles / op.board.arch.clock_hz * kNsPerS;
  const double fixed_ns = chip.attention_ns + chip.attention_join_ns * static_cast<double>(active - 1);
  Prediction result;
  result.cycles = cycles;
  result.dram_bytes = bytes;
  result.time_ns = fixed_ns + overlap({dram_ns, compute_ns});
  result.bound = fixed_ns > std::max(dram_ns, compute_ns) ? Bound::LAUNCH
                 : dram_ns > compute_ns                   ? Bound::DRAM
                                                          : Bound::VECTOR_UNIT;
  result.ideal_ns = static_cast<double>(bytes) / op.board.arch.dram_bytes_per_s * kNsPerS;
  return result;
}

Prediction predict_attention_prefill(const OpCase& op) {
  const ChipConstants& chip = op.chip();
  const double peak_ns = peak_matrix_ns(op, MathFidelity::HiFi4);
  Prediction result;
  result.ideal_ns = peak_ns;
  result.time_ns = chip.attention_ns + peak_ns / chip.attention_efficiency;
  result.cycles = peak_ns / chip.attention_efficiency * op.board.arch.clock_hz / kNsPerS;
  result.bound = peak_ns / chip.attention_efficiency > chip.attention_ns ? Bound::MATRIX_UNIT : Bound::LAUNCH;
  return result;
}

} // namespace tessera::perfmodel
