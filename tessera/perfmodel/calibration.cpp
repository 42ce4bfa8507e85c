#include "tessera/perfmodel/calibration.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/perfmodel/op_kinds.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::perfmodel {
namespace {

using Row = std::map<std::string, std::string, std::less<>>;

/// Fields of a line; a field in quotation marks may hold commas.
std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

std::vector<Row> read_table(const std::filesystem::path& file) {
  const std::string text = base::read_file(file);
  std::vector<Row> rows;
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::vector<std::string> fields = fields_of(text.substr(begin, end - begin));
    begin = end + 1;
    if (names.empty()) {
      names = fields;
      continue;
    }
    base::require<base::IoError>(fields.size() == names.size(),
                                 "[calibration] {} fields a line are required; {} has {}", names.size(), file.string(),
                                 fields.size());
    Row row;
    for (std::size_t i = 0; i < names.size(); ++i) row[names[i]] = fields[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

const std::string& at(const Row& row, std::string_view name) {
  const auto found = row.find(name);
  base::require<base::IoError>(found != row.end(), "[calibration] a column {} is required; the table lacks it", name);
  return found->second;
}

double number(const Row& row, std::string_view name) {
  return std::strtod(at(row, name).c_str(), nullptr);
}
std::int64_t integer(const Row& row, std::string_view name) {
  return std::strtoll(at(row, name).c_str(), nullptr, 10);
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

MathFidelity fidelity_of(const std::string& name) {
  if (name == "HiFi2") return MathFidelity::HiFi2;
  if (name == "HiFi3") return MathFidelity::HiFi3;
  return name == "HiFi4" ? MathFidelity::HiFi4 : MathFidelity::LoFi;
}

DataType dtype_of(const std::string& name) {
  return name.empty() || name == "UINT16" ? DataType::BFLOAT16 : parse_data_type(name);
}

/// "1x1x19x1280", or none.
std::optional<TensorSpec> spec_of(const Row& row, const std::string& operand) {
  const std::string& text = at(row, operand);
  if (text.empty()) return std::nullopt;
  std::vector<std::int64_t> extents;
  for (const char* c = text.c_str(); *c != '\0';) {
    char* end = nullptr;
    extents.push_back(std::strtoll(c, &end, 10));
    c = *end == 'x' ? end + 1 : end;
    if (end == c && *end != '\0') return std::nullopt;
  }
  TensorSpec spec{.shape = Shape(extents), .dtype = dtype_of(at(row, operand + "_dtype"))};
  if (is_integer(spec.dtype)) spec.layout = Layout::ROW_MAJOR;
  if (at(row, operand + "_mem").starts_with("L1")) spec.memory_config.buffer_type = BufferType::L1;
  return spec;
}

/// TT-NN's names of device operations and ours.
struct OpName {
  std::string_view theirs;
  std::string_view ours;
};
constexpr std::array kNames{OpName{"BinaryDeviceOperation", "add"},
                            OpName{"BinaryNgDeviceOperation", "add"},
                            OpName{"UnaryDeviceOperation", "unary"},
                            OpName{"TypecastDeviceOperation", "typecast"},
                            OpName{"ConcatDeviceOperation", "concat"},
                            OpName{"SliceDeviceOperation", "slice"},
                            OpName{"PaddedSliceDeviceOperation", "slice"},
                            OpName{"SliceWriteDeviceOperation", "slice_write"},
                            OpName{"CopyDeviceOperation", "copy"},
                            OpName{"MoveDeviceOperation", "move"},
                            OpName{"InterleavedToShardedDeviceOperation", "interleaved_to_sharded"},
                            OpName{"ShardedToInterleavedDeviceOperation", "sharded_to_interleaved"},
                            OpName{"HaloDeviceOperation", "halo"},
                            OpName{"TilizeDeviceOperation", "tilize"},
                            OpName{"TilizeWithValPaddingDeviceOperation", "tilize"},
                            OpName{"UntilizeDeviceOperation", "untilize"},
                            OpName{"TransposeDeviceOperation", "transpose"},
                            OpName{"ReshapeDeviceOperation", "reshape"},
                            OpName{"LayerNormDeviceOperation", "layer_norm"},
                            OpName{"SoftmaxDeviceOperation", "softmax"},
                            OpName{"EmbeddingsDeviceOperation", "embedding"},
                            OpName{"RotaryEmbeddingLlamaDeviceOperation", "rotary_embedding_llama"},
                            OpName{"UpdateKVCacheOperation", "update_cache"},
                            OpName{"Pool2D", "max_pool2d"},
                            OpName{"Pool2DDeviceOperation", "max_pool2d"},
                            OpName{"Conv2dDeviceOperation", "conv2d"},
                            OpName{"MatmulDeviceOperation", "matmul"},
                            OpName{"MinimalMatmulOp", "minimal_matmul"},
                            OpName{"MinimalMatmulDeviceOperation", "minimal_matmul"}};

std::string_view our_name(const std::string& theirs) {
  for (const OpName& name : kNames) {
    if (name.theirs == theirs || name.theirs == theirs + "DeviceOperation") return name.ours;
  }
  return {};
}

OpRecord record_of(std::string_view name, const Row& row, const TensorSpec& output) {
  OpRecord record{.name = std::string(name)};
  for (const char* operand : {"in0", "in1"}) {
    if (const auto spec = spec_of(row, operand)) record.inputs.push_back({.name = operand, .spec = *spec});
  }
  record.outputs.push_back({.name = "output", .spec = output});
  record.attributes.emplace_back("cores", integer(row, "cores"));
  record.work.fidelity = fidelity_of(at(row, "fidelity"));
  if (name == "matmul" || name == "minimal_matmul") {
    record.attributes.emplace_back("tuned", false);
    // A fidelity above the default one means a compute configuration, which in the recorded models has it.
    record.attributes.emplace_back("packer_l1_acc", record.work.fidelity != MathFidelity::LoFi);
  }
  return record;
}

/// Ops of Llama-3-70B's prefill on a Galaxy, whose rows state no shapes: tokens down, a chip's share of the width
/// across. 8192 over 4 columns is 2048; 64 heads of 128 over 8 rows are 8, one of 8 KV heads; 28672 over 8 rows is
/// 3584, after the reduce-scatter over 4 columns 896. Rows of 4096 tokens and more all hold the figures of 4096.
struct GalaxyOp {
  std::string_view theirs; ///< what follows the last colon
  std::string_view ours;
  std::int64_t heads;
  std::int64_t width;     ///< of the larger operand
  std::int64_t depth = 0; ///< K of a matmul
  bool pair = false;      ///< two operands
};
constexpr std::array kGalaxyOps{GalaxyOp{"typecast_0", "typecast", 8, 128},
                                GalaxyOp{"typecast_1", "typecast", 1, 128},
                                GalaxyOp{"typecast_2", "typecast", 1, 128},
                                GalaxyOp{"typecast_3", "typecast", 1, 128},
                                GalaxyOp{"typecast_4", "typecast", 8, 128},
                                GalaxyOp{"rotary_emb_Q", "rotary_embedding_llama", 8, 128},
                                GalaxyOp{"rotary_emb_K", "rotary_embedding_llama", 1, 128},
                                GalaxyOp{"CreateQKVHeads", "nlp_create_qkv_heads", 1, 1280},
                                GalaxyOp{"concat_heads", "nlp_concat_heads", 1, 1024},
                                GalaxyOp{"LayerNormPreAllGather_0", "rms_norm_pre_all_gather", 1, 2048},
                                GalaxyOp{"LayerNormPreAllGather_1", "rms_norm_pre_all_gather", 1, 2048},
                                GalaxyOp{"LayerNormPostAllGather_0", "rms_norm_post_all_gather", 1, 2048},
                                GalaxyOp{"LayerNormPostAllGather_1", "rms_norm_post_all_gather", 1, 2048},
                                GalaxyOp{"sum_attn_out", "add", 1, 2048, 0, true},
                                GalaxyOp{"binary_sum_mlp", "add", 1, 2048, 0, true},
                                GalaxyOp{"binary_mul_ffn_1_3", "mul", 1, 896, 0, true},
                                GalaxyOp{"update_cache_K", "paged_fill_cache", 1, 128},
                                GalaxyOp{"update_cache_V", "paged_fill_cache", 1, 128},
                                GalaxyOp{"QKV_MM", "linear", 1, 1280, 2048},
                                GalaxyOp{"matmul_attn_out", "linear", 1, 2048, 1024},
                                GalaxyOp{"matmul_ffn_1", "linear", 1, 3584, 2048},
                                GalaxyOp{"matmul_ffn_3", "linear", 1, 3584, 2048},
                                GalaxyOp{"matmul_ffn_2", "linear", 1, 2048, 3584},
                                GalaxyOp{"sdpa", "scaled_dot_product_attention", 8, 128}};

std::optional<OpRow> galaxy_row(const Row& row) {
  const std::string& source = at(row, "source");
  if (source.find("prefill_") == std::string::npos) return std::nullopt;
  const std::string& op = at(row, "op");
  const std::string name = op.substr(op.rfind(':') + 1);
  const auto found = std::ranges::find(kGalaxyOps, name, &GalaxyOp::theirs);
  if (found == kGalaxyOps.end()) return std::nullopt;
  const std::int64_t tokens = source.find("prefill_128.") != std::string::npos ? 128 : 4096;
  const TensorSpec rows{.shape = {1, found->heads, tokens, found->width}};
  OpRecord record{.name = std::string(found->ours), .outputs = {{.name = "output", .spec = rows}}};
  record.inputs.push_back({.name = "input_tensor_a", .spec = rows});
  if (found->pair) record.inputs.push_back({.name = "input_tensor_b", .spec = rows});
  record.work.fidelity = MathFidelity::HiFi2;
  if (found->ours == "mul") record.attributes.emplace_back("input_tensor_a_activation", std::string("SILU"));
  if (found->depth > 0) {
    record.inputs[0].spec.shape = {1, 1, tokens, found->depth};
    record.inputs.push_back(
        {.name = "weight", .spec = {.shape = {1, 1, found->depth, found->width}, .dtype = DataType::BFLOAT8_B}});
    record.work.matmul_flops = 2 * tokens * found->depth * found->width;
  }
  if (name == "sdpa") record.work.matmul_flops = 4 * found->heads * found->width * tokens * (tokens + 1) / 2;
  return OpRow{.record = std::move(record),
               .board = "galaxy",
               .published_ns = number(row, "kernel_ns_median"),
               .group = "op " + std::string(found->ours) + ", Galaxy prefill"};
}

} // namespace

std::filesystem::path calibration_folder(const std::filesystem::path& source_tree) {
  if (const char* folder = std::getenv("TESSERA_CALIBRATION"); folder != nullptr) return folder;
  return source_tree / ".." / "shared" / "spec" / "calibration";
}

std::vector<MatmulRow> read_matmul_rows(const std::filesystem::path& folder) {
  std::vector<MatmulRow> rows;
  for (const Row& row : read_table(folder / "gemm.csv")) {
    const DataType dtype = dtype_of(at(row, "dtype"));
    const bool tuned = at(row, "table").find("Tuned") != std::string::npos;
    const bool traced = at(row, "use_trace") == "True";
    std::int64_t columns = 0;
    std::int64_t grid_rows = 0;
    base::require<base::IoError>(std::sscanf(at(row, "grid_size").c_str(), "(%ld, %ld)", &columns, &grid_rows) == 2,
                                 "[calibration] grid_size must be (columns, rows); received {}", at(row, "grid_size"));
    rows.push_back(
        {.problem = {.m = integer(row, "m"),
                     .k = integer(row, "k"),
                     .n = integer(row, "n"),
                     .dtype = dtype,
                     .in0_dtype = dtype,
                     .output_dtype = dtype,
                     .fidelity = fidelity_of(at(row, "math_fidelity")),
                     .tuned = tuned,
                     .in0_in_l1 = at(row, "in0_storage_type") == "L1",
                     .grid = {grid_rows, columns}},
         .board = lower(at(row, "device")),
         .launch = traced ? Launch::TRACED : Launch::UNTRACED,
         .published_ns = number(row, "inference_time_ns"),
         .group = at(row, "device") + (tuned ? " tuned" : " default") + (traced ? ", traced" : ", untraced")});
  }
  return rows;
}

std::vector<OpRow> read_op_rows(const std::filesystem::path& folder) {
  std::vector<OpRow> rows;
  for (const Row& row : read_table(folder / "op_timings.csv")) {
    if (auto galaxy = galaxy_row(row)) rows.push_back(std::move(*galaxy));
    const std::string_view name = our_name(at(row, "op"));
    const auto output = spec_of(row, "out");
    if (name.empty() || !output) continue;
    const bool blackhole = at(row, "device").find("lackhole") != std::string::npos;
    rows.push_back({.record = record_of(name, row, *output),
                    .board = blackhole ? "p150" : "n150",
                    .published_ns = number(row, "kernel_ns_median"),
                    .group = "op " + std::string(name) + (blackhole ? ", Blackhole" : ", Wormhole")});
  }
  return rows;
}

std::vector<ModelRow> read_model_rows(const std::filesystem::path& folder) {
  std::vector<ModelRow> rows;
  for (const Row& row : read_table(folder / "llm.csv")) {
    const std::string& device = at(row, "device");
    rows.push_back({.config = lower(at(row, "model")),
                    .board = device == "T3K" ? "t3000" : lower(device),
                    .copies = integer(row, "data_parallel"),
                    .users = std::max<std::int64_t>(1, integer(row, "batch")),
                    .prompt_length = integer(row, "prefill_len"),
                    .long_context = at(row, "section").starts_with("Long-context"),
                    .precision = at(row, "precision_mode"),
                    .tokens_per_s_user = number(row, "t_s_u"),
                    .ttft_ms = number(row, "ttft_ms"),
                    .group = "decode " + device});
  }
  return rows;
}

double predict_ns(const MatmulRow& row, const Constants& constants) {
  return predict_matmul(row.problem, board(row.board).arch, row.launch, constants).time_ns;
}

double predict_ns(const OpRow& row, const Constants& constants) {
  return predict_op(row.record, board(row.board), {}, constants).time_ns;
}

ErrorSummary summarise(std::vector<double> errors) {
  if (errors.empty()) return {};
  std::ranges::sort(errors);
  const std::size_t n = errors.size();
  return {.rows = n,
          .median = (errors[(n - 1) / 2] + errors[n / 2]) / 2,
          .p90 = errors[std::min(n - 1, n * 9 / 10)],
          .worst = errors.back()};
}

} // namespace tessera::perfmodel
