#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "tessera/perfmodel/op_kinds.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::perfmodel {
namespace {

/// How a kind's tiles are dealt out to the cores.
enum class Deal {
  TILES,    ///< one by one
  ROWS,     ///< by rows of tiles: a core has whole rows
  RESULTS,  ///< one by one, those of the result
  ONE_HEAD, ///< one core for each head
};

struct Kind {
  std::string_view op;   ///< as records name it
  std::string_view kind; ///< as constants.json names it
  Deal deal = Deal::TILES;
};

constexpr std::array kKinds{
    Kind{"typecast", "typecast"},
    Kind{"concat", "concat"},
    Kind{"slice", "slice", Deal::RESULTS},
    Kind{"slice_columns", "slice", Deal::RESULTS},
    Kind{"slice_write", "slice_write"},
    Kind{"copy", "copy"},
    Kind{"clone", "copy"},
    Kind{"move", "move"},
    Kind{"interleaved_to_sharded", "to_sharded", Deal::RESULTS},
    Kind{"sharded_to_interleaved", "to_interleaved", Deal::RESULTS},
    Kind{"halo", "halo", Deal::RESULTS},
    Kind{"tilize", "tilize"},
    Kind{"untilize", "untilize"},
    Kind{"transpose", "transpose"},
    Kind{"reshape", "reshape"},
    Kind{"fold", "reshape"},
    Kind{"layer_norm", "norm", Deal::ROWS},
    Kind{"rms_norm", "norm", Deal::ROWS},
    Kind{"layer_norm_post_all_gather", "norm", Deal::ROWS},
    Kind{"rms_norm_post_all_gather", "norm", Deal::ROWS},
    Kind{"layer_norm_pre_all_gather", "norm_statistics", Deal::ROWS},
    Kind{"rms_norm_pre_all_gather", "norm_statistics", Deal::ROWS},
    Kind{"softmax", "softmax", Deal::ROWS},
    Kind{"embedding", "embedding", Deal::ROWS},
    Kind{"rotary_embedding_llama", "rotary", Deal::ROWS},
    Kind{"nlp_create_qkv_heads", "heads", Deal::ROWS},
    Kind{"nlp_concat_heads", "heads", Deal::ROWS},
    Kind{"paged_fill_cache", "fill_cache", Deal::ONE_HEAD},
    Kind{"update_cache", "update_cache"},
    Kind{"paged_update_cache", "update_cache"},
    Kind{"max_pool2d", "pool", Deal::TILES},
    Kind{"avg_pool2d", "pool", Deal::TILES},
    Kind{"global_avg_pool2d", "pool", Deal::TILES},
    Kind{"upsample", "reshape", Deal::RESULTS},
};

Kind kind_of(const OpRecord& record) {
  const auto found = std::ranges::find(kKinds, record.name, &Kind::op);
  if (found != kKinds.end()) return *found;
  // What is left is element-wise: with two operands of the result's size, or one.
  std::int64_t operands = 0;
  for (const OperandRecord& input : record.inputs) operands += tiles_of(input.spec) > 1 ? 1 : 0;
  if (operands <= 1) return {record.name, "unary"};
  const bool activated = std::ranges::any_of(record.attributes, [](const auto& entry) {
    const auto* text = std::get_if<std::string>(&entry.second);
    return entry.first == "input_tensor_a_activation" && text != nullptr && *text != "NONE" && *text != "none";
  });
  return {record.name, activated ? "binary_activation" : "binary"};
}

bool is_in_l1(const OperandRecord& operand) {
  return operand.spec.memory_config.buffer_type == BufferType::L1;
}

std::int64_t largest(const std::vector<OperandRecord>& operands) {
  std::int64_t most = 0;
  for (const OperandRecord& operand : operands) most = std::max(most, tiles_of(operand.spec));
  return most;
}

/// What goes in: the new keys or values of an op that writes to a cache, else the first operand.
const OperandRecord& source_of(const OpRecord& record) {
  if (find_input(record, "cache_tensor") != nullptr) return *find_input(record, "input_tensor");
  return record.inputs.empty() ? record.outputs.front() : record.inputs.front();
}

/// Tiles of the core that has most.
std::int64_t tiles_of_core(const OpCase& op, Deal deal, bool in_l1) {
  const OpRecord& record = op.record;
  const TensorSpec& first = source_of(record).spec;
  const std::int64_t results =
      find_input(record, "cache_tensor") != nullptr ? tiles_of(first) : largest(record.outputs);
  const std::int64_t cores = std::max<std::int64_t>(1, attribute(record, "cores", op.board.arch.worker_cores()));
  const std::int64_t all = std::max(results, tiles_of(first));
  if (deal == Deal::RESULTS) return div_up(results, cores);
  if (deal == Deal::ONE_HEAD && first.shape.rank() == 4 && first.layout == Layout::TILE)
    return div_up(all, std::min(cores, first.shape[1]));
  if (deal == Deal::ROWS && !in_l1) { // in L1 rows are sharded over the cores
    const TensorSpec& whole = all == results ? record.outputs.front().spec : first;
    const std::int64_t width = div_up(whole.shape[-1], kTileWidth);
    return div_up(div_up(all, width), cores) * width;
  }
  return div_up(all, cores);
}

} // namespace

Prediction predict_stream(const OpCase& op) {
  Prediction result;
  if (op.record.outputs.empty() && op.record.inputs.empty()) {
    result.time_ns = op.chip().stream_l1_ns;
    return result;
  }
  const Kind kind = kind_of(op.record);
  const StreamConstants& stream = op.constants.stream(kind.kind);
  const bool fills_cache = find_input(op.record, "cache_tensor") != nullptr;
  const bool in_l1 =
      is_in_l1(source_of(op.record)) && (fills_cache || std::ranges::all_of(op.record.outputs, is_in_l1));
  const double tile_cycles = in_l1 ? stream.l1_tile_cycles : stream.dram_tile_cycles;
  result.cycles = static_cast<double>(tiles_of_core(op, kind.deal, in_l1)) * tile_cycles;
  const double steady = result.cycles / op.board.arch.clock_hz * kNsPerS;
  const double begin = in_l1 ? op.chip().stream_l1_ns : op.chip().stream_ns + stream.base_ns;
  result.time_ns = begin + steady;
  result.ideal_ns = peak_dram_ns(op);
  result.bound = begin > steady ? Bound::LAUNCH : in_l1 ? Bound::VECTOR_UNIT : Bound::DRAM;
  return result;
}

} // namespace tessera::perfmodel
