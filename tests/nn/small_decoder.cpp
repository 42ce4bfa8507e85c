#include "tests/nn/small_decoder.hpp"

#include <cmath>

#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::nn {
namespace {

constexpr const char* kConfigJson = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})";

/// Matrices whose products keep the size of what they multiply; norms about 1; biases small.
HostTensor random_weight(const TensorExpectation& expected, std::uint32_t seed) {
  const bool vector = expected.shape.size() == 1;
  const bool bias = expected.name.ends_with(".bias");
  const float deviation = vector ? (bias ? 0.5F : 0.2F) : 1.0F / std::sqrt(static_cast<float>(expected.shape[1]));
  HostTensor values = test::random_values(Shape(expected.shape), seed, deviation);
  if (vector && !bias) {
    for (float& value : values.data) value += 1.0F;
  }
  return values;
}

} // namespace

DecoderConfig small_config() {
  return {.family = "llama",
          .vocab_size = 50,
          .hidden_size = 48,
          .intermediate_size = 72,
          .layers = 2,
          .heads = 6,
          .kv_heads = 2,
          .head_dim = 8,
          .max_positions = 128,
          .norm_epsilon = 1e-5,
          .sliding_window = {0, 0}};
}

DecoderConfig small_config_with_biases() {
  DecoderConfig config = small_config();
  config.family = "qwen2";
  config.tied_embeddings = true;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  return config;
}

DecoderConfig small_config_with_window(std::int64_t window) {
  DecoderConfig config = small_config();
  config.family = "mistral";
  config.sliding_window[1] = window;
  return config;
}

DecoderConfig odd_config() {
  DecoderConfig config = small_config_with_biases();
  config.tied_embeddings = false;
  config.vocab_size = 51;
  config.hidden_size = 52;
  config.intermediate_size = 75;
  config.heads = 8;
  config.kv_heads = 4;
  config.head_dim = 6;
  return config;
}

DecoderConfig parallel_config(bool mlp_norm) {
  DecoderConfig config = odd_config();
  config.norm = NormKind::LAYER;
  config.parallel_residual = true;
  config.mlp_norm = mlp_norm;
  config.gated_mlp = false;
  config.activation = ops::Activation::GELU;
  config.qkv = QkvLayout::GROUPED;
  return config;
}

DecoderConfig capped_config() {
  DecoderConfig config = odd_config();
  config.norm_weight_offset = 1.0;
  config.qk_norm = true;
  config.output_norms = true;
  config.activation = ops::Activation::GELU_TANH;
  config.rope.rotary_dim = 4;
  config.attention_scale = 0.7;
  config.attention_softcap = 1.5;
  config.logit_softcap = 3.0;
  config.embedding_scale = 2.5;
  config.sliding_window[0] = 9;
  return config;
}

DecoderConfig long_config() {
  DecoderConfig config = odd_config();
  config.qkv = QkvLayout::STACKED;
  config.fused_gate_up = true;
  config.rope.longrope =
      LongRopeScaling{.short_factor = {1.0, 1.1, 1.3}, .long_factor = {1.5, 4.0, 9.0}, .original_max_positions = 40};
  config.rope.attention_factor = 1.2;
  return config;
}

DecoderConfig learned_config() {
  DecoderConfig config = odd_config();
  config.norm = NormKind::LAYER;
  config.positions = PositionKind::LEARNED;
  config.max_positions = 96;
  config.qkv = QkvLayout::STACKED;
  config.transposed_linears = true;
  config.gated_mlp = false;
  config.activation = ops::Activation::GELU_TANH;
  config.scale_by_inverse_layer = true;
  config.tied_embeddings = true;
  return config;
}

DecoderConfig alibi_config() {
  DecoderConfig config = parallel_config(true);
  config.parallel_residual = false;
  config.positions = PositionKind::ALIBI;
  return config;
}

DecoderConfig experts_config() {
  DecoderConfig config = odd_config();
  config.qkv_bias = config.o_bias = config.mlp_bias = false;
  config.experts = {.count = 5, .per_token = 3};
  return config;
}

BoardSpec mesh_board(std::int64_t rows, std::int64_t columns) {
  BoardSpec board = tessera::board("t3000");
  board.name = fmt::format("t3000 {}x{}", rows, columns);
  board.mesh_rows = rows;
  board.mesh_columns = columns;
  return board;
}

SmallDecoder::SmallDecoder(DecoderConfig model_config, checkpoint::StorageType dtype)
    : config_(std::move(model_config)) {
  folder_.write("config.json", kConfigJson);
  std::uint32_t seed = 1;
  for (const TensorExpectation& expected : expected_tensors(config_, DecoderNames())) {
    if (expected.optional && !expected.name.ends_with("norm.bias")) continue;
    HostTensor values = random_weight(expected, seed++);
    if (dtype == checkpoint::StorageType::BF16) {
      for (float& value : values.data) value = numerics::from_bfloat16(numerics::to_bfloat16(value));
    }
    weights_.emplace(expected.name, std::move(values));
  }
  write(dtype);
  checkpoint_ = checkpoint::Checkpoint::open(folder_.path().string());
}

void SmallDecoder::write(checkpoint::StorageType dtype) {
  std::vector<std::vector<std::uint16_t>> halves;
  std::vector<checkpoint::OutputTensor> tensors;
  for (const auto& [name, values] : weights_) {
    std::span<const std::byte> data = std::as_bytes(std::span(values.data));
    if (dtype == checkpoint::StorageType::BF16) {
      std::vector<std::uint16_t>& patterns = halves.emplace_back();
      for (const float value : values.data) patterns.push_back(numerics::to_bfloat16(value));
      data = std::as_bytes(std::span(patterns));
    }
    const auto extents = values.shape.extents();
    tensors.push_back({name, dtype, {extents.begin(), extents.end()}, data});
  }
  checkpoint::write_safetensors(folder_.path() / "model.safetensors", tensors);
}

std::unique_ptr<DecoderModel> SmallDecoder::load(const std::string& precision, std::int64_t max_users,
                                                 const runtime::MeshDeviceOptions& device, std::int64_t context,
                                                 TensorParallelScheme scheme) const {
  return load_on(runtime::MeshDevice::open(device), precision, max_users, context, scheme, nullptr);
}

std::unique_ptr<DecoderModel> SmallDecoder::load_on(const std::shared_ptr<runtime::MeshDevice>& mesh,
                                                    const std::string& precision, std::int64_t max_users,
                                                    std::int64_t context, TensorParallelScheme scheme,
                                                    const DecoderModel* original) const {
  const Precision formats = make_precision(
      precision, {.family = config_.family, .layers = config_.layers, .parameters = config_.parameters()});
  const WeightLoader weights(*mesh, checkpoint_, formats.weights_as_stored, config_.stored_dtype, {}, nullptr,
                             original == nullptr ? std::vector<Tensor>{} : original->weights());
  return std::make_unique<DecoderModel>(
      mesh, config_, DecoderNames(), weights,
      DecoderModel::Options{.precision = formats, .context = context, .max_users = max_users, .scheme = scheme});
}

std::unique_ptr<DecoderModel> plan(const DecoderConfig& config, const std::string& precision, std::int64_t max_users,
                                   std::int64_t context, const BoardSpec& board) {
  const test::TemporaryFolder folder;
  folder.write("config.json", kConfigJson);
  const auto checkpoint = checkpoint::Checkpoint::open_config(folder.path().string());
  const auto mesh = runtime::MeshDevice::open({.board = board, .mode = runtime::RunMode::RECORD});
  const Precision formats =
      make_precision(precision, {.family = config.family, .layers = config.layers, .parameters = config.parameters()});
  const WeightLoader weights(*mesh, checkpoint, formats.weights_as_stored, config.stored_dtype);
  return std::make_unique<DecoderModel>(
      mesh, config, DecoderNames(), weights,
      DecoderModel::Options{.precision = formats, .context = context, .max_users = max_users});
}

std::vector<std::int32_t> random_ids(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 50);
  return ids;
}

double largest_difference(const HostTensor& a, const HostTensor& b) {
  if (a.shape != b.shape) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.data.size(); ++i) {
    const double difference = std::fabs(double{a.data[i]} - b.data[i]);
    if (!(difference <= largest)) largest = difference; // a NaN counts as different
  }
  return largest;
}

HostTensor row_of(const HostTensor& tensor, std::int64_t row) {
  const auto values = tensor.row(row);
  return {{1, tensor.shape[-1]}, {values.begin(), values.end()}};
}

} // namespace tessera::nn
