#include "tessera/perfmodel/circular_buffers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op_kinds.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::perfmodel {
namespace {

using Buffers = std::vector<CircularBuffer>;
using Rule = Buffers (*)(const OpRecord&, const ArchSpec&, std::int64_t room);

constexpr std::int64_t kDouble = 2; ///< one page moves while the other is computed on

CircularBuffer tiles(std::string name, DataType dtype, std::int64_t count) {
  return {.name = std::move(name), .dtype = dtype, .pages = count, .page_bytes = tile_bytes(dtype)};
}

const OperandRecord* find_operand(const OpRecord& record, std::string_view name) {
  if (const OperandRecord* input = find_input(record, name)) return input;
  const auto output = std::ranges::find(record.outputs, name, &OperandRecord::name);
  return output == record.outputs.end() ? nullptr : &*output;
}

bool is_sharded(const TensorSpec& spec) {
  return spec.memory_config.memory_layout != TensorMemoryLayout::INTERLEAVED &&
         spec.memory_config.buffer_type == BufferType::L1;
}

/// A sharded operand is read and written where it lies.
void use_shards(Buffers& buffers, const OpRecord& record) {
  for (CircularBuffer& buffer : buffers) {
    const OperandRecord* operand = find_operand(record, buffer.name);
    if (operand != nullptr && is_sharded(operand->spec)) buffer.in_tensor = true;
  }
}

DataType dtype_of(const OpRecord& record, std::string_view name, DataType otherwise) {
  const OperandRecord* operand = find_operand(record, name);
  return operand == nullptr ? otherwise : operand->spec.dtype;
}

/// What stands between two steps is packed as wide as Dst.
DataType intermediate_format(const OpRecord& record) {
  const bool wide = record.decomposition != nullptr && record.decomposition->compute.fp32_dest_acc_en;
  return wide ? DataType::FLOAT32 : DataType::BFLOAT16;
}

/// Whether some step reads or writes a buffer: a kernel that is written for several cases declares more than one needs.
bool is_used(const Decomposition& decomposition, std::int32_t buffer) {
  return std::ranges::any_of(decomposition.steps, [buffer](const TileStep& step) {
    return step.a.buffer == buffer || step.b.buffer == buffer;
  });
}

/// Pages of the operands, and what the decomposition keeps between its steps.
Buffers buffers_of_operands(const OpRecord& record, const ArchSpec& /*arch*/, std::int64_t /*room*/) {
  Buffers buffers;
  for (const auto* operands : {&record.inputs, &record.outputs}) {
    for (const OperandRecord& operand : *operands) {
      // Experts' weights pass through one buffer.
      if (std::ranges::find(buffers, operand.name, &CircularBuffer::name) != buffers.end()) continue;
      buffers.push_back({.name = operand.name,
                         .dtype = operand.spec.dtype,
                         .pages = kDouble,
                         .page_bytes = std::min(operand.spec.page_bytes(), tile_bytes(operand.spec.dtype))});
    }
  }
  if (record.decomposition == nullptr) return buffers;
  for (std::size_t i = 0; i < record.decomposition->buffers.size(); ++i) {
    const TileBuffer& buffer = record.decomposition->buffers[i];
    if (buffer.role == TileBuffer::Role::INTERMEDIATE && is_used(*record.decomposition, static_cast<std::int32_t>(i)))
      buffers.push_back(tiles(buffer.name, buffer.dtype, buffer.tiles));
  }
  return buffers;
}

/// A row of tiles at once where it fits, else in parts of a fixed size (layernorm_op_multi_core.cpp); of sharded rows,
/// what the shard has of them (layernorm_op_multi_core_sharded.cpp).
Buffers buffers_of_norm(const OpRecord& record, const ArchSpec& /*arch*/, std::int64_t room) {
  constexpr std::int64_t kPartWithWeights = 56;
  constexpr std::int64_t kPartWithoutWeights = 112;
  constexpr double kShareOfL1 = 0.95;
  const TensorSpec& input = record.inputs.at(0).spec;
  const DataType between = intermediate_format(record);
  const std::int64_t block = between == DataType::FLOAT32 ? 4 : 8; // results that Dst holds
  const bool has_weight = find_input(record, "weight") != nullptr;
  const bool has_bias = find_input(record, "bias") != nullptr;
  const bool rms = record.name.starts_with("rms");
  const auto with_row = [&](std::int64_t row) {
    Buffers buffers{
        tiles("input_tensor", input.dtype, row), tiles("output", dtype_of(record, "output", input.dtype), 2 * block),
        tiles("squares", between, row),          tiles("normalised", between, 2 * block),
        tiles("scaler", DataType::BFLOAT16, 2),  tiles("epsilon", DataType::BFLOAT16, 2),
        tiles("mean of squares", between, 2),    tiles("reciprocal root", between, 8)};
    if (!rms) {
      buffers.push_back(tiles("less the mean", between, row));
      buffers.push_back(tiles("mean", between, 2));
    }
    if (has_weight) buffers.push_back(tiles("weight", DataType::BFLOAT16, row));
    if (has_bias) buffers.push_back(tiles("bias", DataType::BFLOAT16, row));
    if (const OperandRecord* stats = find_input(record, "stats"))
      buffers.push_back(tiles("stats", stats->spec.dtype, kDouble * stats->spec.tile_columns()));
    return buffers;
  };
  if (is_sharded(input)) return with_row(div_up(input.memory_config.shard_spec->shard_width, kTileWidth));
  Buffers whole = with_row(round_up(input.tile_columns(), block));
  if (static_cast<double>(l1_bytes(whole)) < kShareOfL1 * static_cast<double>(room)) return whole;
  return with_row(has_weight || input.dtype == DataType::FLOAT32 ? kPartWithWeights : kPartWithoutWeights);
}

/// Chunks of queries and keys (sdpa_program_factory.cpp); tt_transformers takes 256 of long prompts and 64 of others.
Buffers buffers_of_prefill_attention(const OpRecord& record, const ArchSpec& arch, std::int64_t room) {
  const std::int64_t most = std::min(room, l1_for_blocks(arch));
  constexpr std::int64_t kLong = 2048;
  const TensorSpec& q = record.inputs.at(0).spec;
  const DataType k = dtype_of(record, "input_tensor_k", q.dtype);
  const DataType v = dtype_of(record, "input_tensor_v", q.dtype);
  const DataType out = dtype_of(record, "output", q.dtype);
  const DataType between = DataType::BFLOAT16;
  const std::int64_t width = q.tile_columns();
  const std::int64_t length = q.tile_rows();
  const auto with_chunk = [&](std::int64_t rows) {
    const std::int64_t chunks = q.num_matrices() * div_up(length, rows);
    const std::int64_t of_q = chunks > arch.worker_cores() ? kDouble : 1;
    return Buffers{tiles("input_tensor_q", q.dtype, of_q * rows * width),
                   tiles("input_tensor_k", k, kDouble * rows * width),
                   tiles("input_tensor_v", v, kDouble * rows * width),
                   tiles("mask", between, rows * rows),
                   tiles("scaler", DataType::BFLOAT16, 1),
                   tiles("scores", between, rows * rows),
                   tiles("accumulators", between, 2 * rows * width),
                   tiles("maxima", between, 2 * rows),
                   tiles("sums", between, 2 * rows),
                   tiles("corrections", between, rows),
                   tiles("output", out, rows * width)};
  };
  std::int64_t rows = std::min(length, (q.shape[-2] >= kLong ? 256 : 64) / kTileHeight);
  while (rows > 1 && l1_bytes(with_chunk(rows)) > most) rows /= 2;
  return with_chunk(rows);
}

/// Keys of a chunk pass through a core that keeps one user's queries (sdpa_decode_program_factory.cpp); the cores of a
/// head hand what they found to one of them.
Buffers buffers_of_decode_attention(const OpRecord& record, const ArchSpec& arch, std::int64_t room) {
  const std::int64_t most = std::min(room, l1_for_blocks(arch));
  const TensorSpec& q = record.inputs.at(0).spec; // [1, users, heads, D]
  const TensorSpec& k = record.inputs.at(1).spec; // [blocks, Hkv, block size, D]
  const DataType v = dtype_of(record, "input_tensor_v", k.dtype);
  const DataType between = DataType::BFLOAT16;
  const std::int64_t width = q.tile_columns();
  const std::int64_t heads = q.tile_rows();
  const std::int64_t cores_of_head = std::clamp<std::int64_t>(arch.worker_cores() / q.shape[1], 1, kMostCoresOfHead);
  const auto with_chunk = [&](std::int64_t keys) {
    Buffers buffers{tiles("input_tensor_q", q.dtype, heads * width),
                    tiles("input_tensor_k", k.dtype, kDouble * keys * width),
                    tiles("input_tensor_v", v, kDouble * keys * width),
                    tiles("mask", between, heads * keys),
                    tiles("scaler", DataType::BFLOAT16, 1),
                    tiles("scores", between, heads * keys),
                    tiles("accumulators", between, 2 * heads * width),
                    tiles("maxima, sums, corrections", between, 5 * heads),
                    tiles("found by other cores", between, (heads * width + 2 * heads) * (cores_of_head - 1)),
                    tiles("output", dtype_of(record, "output", q.dtype), heads * width)};
    if (const OperandRecord* table = find_input(record, "page_table_tensor"))
      buffers.push_back({.name = "page_table_tensor",
                         .dtype = table->spec.dtype,
                         .pages = 1,
                         .page_bytes = table->spec.page_bytes()});
    return buffers;
  };
  std::int64_t keys = 8; // what Dst holds
  while (keys > 1 && l1_bytes(with_chunk(keys)) > most) keys /= 2;
  return with_chunk(keys);
}

/// Rows of the results in blocks, a row of the kernel's taps at a time (conv2d_op_sharded_program_factory.cpp). The
/// shards of input and output are in L1 on the card, which our tensors say where they are so.
Buffers buffers_of_conv(const OpRecord& record, const ArchSpec& arch, std::int64_t room) {
  const std::int64_t most = std::min(room, l1_for_blocks(arch));
  constexpr std::int64_t kTallest = 8;
  const TensorSpec& input = record.inputs.at(0).spec;
  const TensorSpec& weight = record.inputs.at(1).spec;
  const TensorSpec& output = record.outputs.at(0).spec;
  const DataType between = intermediate_format(record);
  const std::int64_t across = attribute(record, "num_cores_c", 1);
  const std::int64_t width = div_up(output.tile_columns(), across);
  const std::int64_t depth = weight.tile_rows();
  const auto with_block = [&](std::int64_t height, std::int64_t taps) {
    Buffers buffers{tiles("input rows", input.dtype, kDouble * height * taps),
                    tiles("input tiles", input.dtype, height * taps),
                    tiles("weight", weight.dtype, kDouble * taps * width), tiles("partials", between, height * width),
                    tiles("output", output.dtype, height * width)};
    if (const OperandRecord* bias = find_input(record, "bias_tensor"))
      buffers.push_back(tiles("bias_tensor", bias->spec.dtype, width));
    if (const OperandRecord* residual = find_input(record, "residual"))
      buffers.push_back(tiles("residual", residual->spec.dtype, kDouble));
    return buffers;
  };
  std::int64_t height = std::min(kTallest, output.tile_rows());
  std::int64_t taps = depth;
  while (l1_bytes(with_block(height, taps)) > most && (height > 1 || taps > 1)) {
    if (taps >= height)
      taps = div_up(taps, std::int64_t{2});
    else
      height = div_up(height, std::int64_t{2});
  }
  return with_block(height, taps);
}

Buffers buffers_of_matmul(const OpRecord& record, const ArchSpec& arch, std::int64_t room) {
  MatmulProblem problem = recorded_matmul(record, arch).problem;
  const OperandRecord* output = find_operand(record, "output");
  problem.in0_in_l1 = is_sharded(record.inputs.at(0).spec) && output != nullptr && is_sharded(output->spec);
  const std::int64_t most = std::min(room, l1_for_blocks(arch));
  const OperandRecord* bias = find_input(record, "bias");
  if (bias == nullptr) return matmul_buffers(problem, arch, most);
  const CircularBuffer of_bias = tiles("bias", bias->spec.dtype, div_up(problem.n, kTileWidth * problem.grid.columns));
  Buffers buffers = matmul_buffers(problem, arch, most - of_bias.bytes());
  buffers.push_back(of_bias);
  return buffers;
}

const std::map<std::string, Rule, std::less<>>& rules() {
  static const std::map<std::string, Rule, std::less<>> table{
      {"linear", buffers_of_matmul},
      {"matmul", buffers_of_matmul},
      {"minimal_matmul", buffers_of_matmul},
      {"grouped_linear", buffers_of_matmul},
      {"conv2d", buffers_of_conv},
      {"scaled_dot_product_attention", buffers_of_prefill_attention},
      {"paged_scaled_dot_product_attention_decode", buffers_of_decode_attention},
      {"rms_norm", buffers_of_norm},
      {"layer_norm", buffers_of_norm},
      {"rms_norm_post_all_gather", buffers_of_norm},
      {"layer_norm_post_all_gather", buffers_of_norm},
  };
  return table;
}

} // namespace

std::vector<CircularBuffer> circular_buffers(const OpRecord& record, const ArchSpec& arch, std::int64_t room) {
  const auto rule = rules().find(record.name);
  const bool has_operands = !record.inputs.empty() && !record.outputs.empty(); // the rules look at both
  Buffers buffers = (rule != rules().end() && has_operands ? rule->second : buffers_of_operands)(record, arch, room);
  use_shards(buffers, record);
  return buffers;
}

std::int64_t l1_for_blocks(const ArchSpec& arch) {
  return (arch.l1_bytes_per_core - arch.l1_reserved_bytes_per_core) / 8 * 7;
}

std::int64_t l1_bytes(std::span<const CircularBuffer> buffers) {
  std::int64_t bytes = 0;
  for (const CircularBuffer& buffer : buffers) bytes += buffer.in_tensor ? 0 : buffer.bytes();
  return bytes;
}

std::string to_string(const CircularBuffer& buffer) {
  return fmt::format("{}: {} x {} bytes of {}{}", buffer.name, buffer.pages, buffer.page_bytes,
                     tessera::to_string(buffer.dtype), buffer.in_tensor ? ", in the tensor's own shard" : "");
}

} // namespace tessera::perfmodel
