#include "tessera/nn/decoder_model.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "tessera/base/error.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

constexpr std::int64_t kMaxUsers = kTileHeight; // a user is a row of one tile

Linear load_linear(const WeightLoader& weights, const std::string& name, std::int64_t out, std::int64_t in, bool bias,
                   DataType dtype, DataType vector_dtype, std::string_view label) {
  Linear linear{.weight = weights.matmul_weight(weights.rows(name + ".weight", out, in),
                                                weights.format(dtype, {name + ".weight"}), label)};
  if (bias)
    linear.bias =
        weights.vector(weights.rows(name + ".bias", 1, out), weights.format(vector_dtype, {name + ".bias"}), label);
  return linear;
}

RmsNorm load_norm(const WeightLoader& weights, const std::string& name, const DecoderConfig& config, DataType dtype) {
  return {weights.vector(weights.rows(name + ".weight", 1, config.hidden_size),
                         weights.format(dtype, {name + ".weight"}), "norm"),
          static_cast<float>(config.norm_epsilon)};
}

/// Q, K and V as one projection, Q and K in the interleaved rotary order.
Linear load_wqkv(const WeightLoader& weights, const DecoderConfig& config, const DecoderNames& names,
                 std::int64_t layer, DataType dtype, DataType vector_dtype) {
  const std::vector<std::string> projections{names.of_layer(layer, names.q), names.of_layer(layer, names.k),
                                             names.of_layer(layer, names.v)};
  const std::vector<std::int64_t> widths{config.attention_width(), config.kv_width(), config.kv_width()};
  std::vector<HostRows> matrices;
  std::vector<HostRows> biases; // columns as rows: a bias of N values is N rows of one
  std::vector<std::string> matrix_names;
  std::vector<std::string> bias_names;
  for (std::size_t part = 0; part < projections.size(); ++part) {
    const bool rotated = part < 2;
    matrix_names.push_back(projections[part] + ".weight");
    const HostRows matrix = weights.rows(matrix_names.back(), widths[part], config.hidden_size);
    matrices.push_back(rotated ? interleave_rotary(matrix, config.head_dim) : matrix);
    if (!config.qkv_bias) continue;
    bias_names.push_back(projections[part] + ".bias");
    const HostRows bias = as_column(weights.rows(bias_names.back(), 1, widths[part]));
    biases.push_back(rotated ? interleave_rotary(bias, config.head_dim) : bias);
  }
  Linear linear{
      .weight = weights.matmul_weight(concat_rows(std::move(matrices)), weights.format(dtype, matrix_names), "wqkv")};
  if (config.qkv_bias)
    linear.bias =
        weights.matmul_weight(concat_rows(std::move(biases)), weights.format(vector_dtype, bias_names), "wqkv.bias");
  return linear;
}

std::vector<std::int32_t> iota(std::int64_t count) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

tensor::Tensor integers(runtime::MeshDevice& device, const Shape& shape, std::span<const std::int32_t> values,
                        std::string_view name) {
  return tensor::from_host(device, std::vector<std::int32_t>(values.begin(), values.end()),
                           {shape, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved}, name);
}

void capture(HiddenStates* hidden_states, const tensor::Tensor& x) {
  if (hidden_states == nullptr) return;
  HostTensor state = tensor::to_host(x);
  state.shape = Shape{x.shape()[-2], x.shape()[-1]};
  hidden_states->push_back(std::move(state));
}

/// The options, checked: what a constructor's members are made from.
const DecoderModel::Options& checked(const DecoderModel::Options& options, const DecoderConfig& config) {
  base::require(1 <= options.max_users && options.max_users <= kMaxUsers,
                "[load] 1 to {} users are possible, a row of a tile each; received {}", kMaxUsers, options.max_users);
  base::require(options.context >= 1, "[load] a context of 1 position or more is required; received {}",
                options.context);
  base::require(static_cast<std::int64_t>(config.sliding_window.size()) >= config.layers,
                "[load] a sliding window (0: none) for each of {} layers is required; received {}", config.layers,
                config.sliding_window.size());
  return options;
}

HostTensor as_rows(HostTensor tensor) {
  tensor.shape = Shape{tensor.shape[-2], tensor.shape[-1]};
  return tensor;
}

} // namespace

DecoderModel::DecoderModel(std::shared_ptr<runtime::MeshDevice> device, const DecoderConfig& config,
                           const DecoderNames& names, const WeightLoader& weights, const Options& options)
    : device_(std::move(device)),
      config_(config),
      precision_(checked(options, config).precision),
      info_{.family = config.family,
            .layers = config.layers,
            .hidden_size = config.hidden_size,
            .vocab_size = config.vocab_size,
            .attention_width = config.attention_width(),
            .context = options.context,
            .max_users = options.max_users},
      cache_config_{.users = options.max_users,
                    .context = round_up(options.context, kTileHeight),
                    .kv_heads = config.kv_heads,
                    .head_dim = config.head_dim} {
  load_weights(names, weights, options);
  // What depends on the context comes after the weights, whose addresses are the same for any, as their cache requires.
  {
    const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::WEIGHTS);
    rope_ = RopeTables(*device_, config.rope, config.head_dim, options.context, options.precision.activation);
  }
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const runtime::Scope scope(*device_, fmt::format("layers.{}", layer));
    layers_[static_cast<std::size_t>(layer)].attention.set_cache(
        KvCache(*device_, cache_config_, precision_.of_layer(layer).kv_cache));
  }
  page_table_ = identity_page_table(*device_, cache_config_);
  device_->synchronize();
}

void DecoderModel::load_weights(const DecoderNames& names, const WeightLoader& weights, const Options& options) {
  const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::WEIGHTS);
  const std::string embedding_name = names.embedding + ".weight";
  const HostRows table = weights.rows(embedding_name, config_.vocab_size, config_.hidden_size);
  embedding_ = weights.table(table, weights.format(precision_.embedding, {embedding_name}), "embedding");
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    layers_.push_back(load_layer(layer, names, weights));
    // One layer at a time: conversions in flight would hold the checkpoint's pages and hide how far the load is.
    device_->synchronize();
    if (options.progress) options.progress(layer + 1, config_.layers);
  }
  final_norm_ = load_norm(weights, names.final_norm, config_, precision_.norm);
  const std::string head_name = config_.tied_embeddings ? embedding_name : names.lm_head + ".weight";
  lm_head_.weight = weights.matmul_weight(weights.rows(head_name, config_.vocab_size, config_.hidden_size),
                                          weights.format(precision_.lm_head, {head_name}), "lm_head");
  weight_cache_ = weights.finish();
}

DecoderLayer DecoderModel::load_layer(std::int64_t number, const DecoderNames& names,
                                      const WeightLoader& weights) const {
  const runtime::Scope scope(*device_, fmt::format("layers.{}", number));
  const LayerPrecision& formats = precision_.of_layer(number);
  const auto name = [&](const std::string& part) { return names.of_layer(number, part); };
  const std::int64_t e = config_.hidden_size;
  const std::int64_t f = config_.intermediate_size;
  const Attention::Shape shape{config_.heads, config_.kv_heads, config_.head_dim,
                               config_.sliding_window[static_cast<std::size_t>(number)]};
  return {
      .input_norm = load_norm(weights, name(names.input_norm), config_, precision_.norm),
      .attention = Attention(shape, load_wqkv(weights, config_, names, number, formats.wqkv, precision_.norm),
                             load_linear(weights, name(names.o), e, config_.attention_width(), config_.o_bias,
                                         formats.wo, precision_.norm, "wo")),
      .post_attention_norm = load_norm(weights, name(names.post_attention_norm), config_, precision_.norm),
      .mlp = {.w1 =
                  load_linear(weights, name(names.gate), f, e, config_.mlp_bias, formats.ff1_3, precision_.norm, "w1"),
              .w3 = load_linear(weights, name(names.up), f, e, config_.mlp_bias, formats.ff1_3, precision_.norm, "w3"),
              .w2 = load_linear(weights, name(names.down), e, f, config_.mlp_bias, formats.ff2, precision_.norm, "w2")},
  };
}

void DecoderModel::check_ids(std::span<const std::int32_t> ids) const {
  for (std::int32_t id : ids) {
    base::require(0 <= id && id < info_.vocab_size,
                  "[model] token ids must be in 0..{}; received {}; does the tokenizer belong to this model?",
                  info_.vocab_size - 1, id);
  }
}

ForwardContext DecoderModel::prefill_context(std::int64_t user, std::int64_t length) const {
  base::require(0 <= user && user < info_.max_users, "[prefill] user must be in 0..{}; received {}",
                info_.max_users - 1, user);
  base::require(length > 0, "[prefill] a prompt of one token or more is required; received none");
  base::require(length <= info_.context,
                "[prefill] a prompt of at most {} tokens is possible with this context; received {}; raise --context",
                info_.context, length);
  const tensor::Tensor positions = integers(*device_, {1, 1, length}, iota(length), "positions");
  return {.phase = Phase::PREFILL,
          .rope = rope_.look_up(positions, kDramInterleaved),
          .page_table = page_table_,
          .user = user,
          .activation = precision_.activation,
          .memory_config = kDramInterleaved};
}

ForwardContext DecoderModel::decode_context(std::span<const std::int32_t> positions) const {
  const auto users = static_cast<std::int64_t>(positions.size());
  base::require(0 < users && users <= info_.max_users, "[decode] 1 to {} users are possible; received {}",
                info_.max_users, users);
  for (std::int32_t position : positions) {
    base::require(-1 <= position && position < info_.context,
                  "[decode] positions must be in 0..{} (-1: idle); received {}; raise --context", info_.context - 1,
                  position);
  }
  return {.phase = Phase::DECODE,
          .rope = rope_.look_up(integers(*device_, {1, users, 1}, positions, "rotary_positions"), kL1Interleaved),
          .positions = integers(*device_, {users}, positions, "positions"),
          .page_table = page_table_,
          .activation = precision_.activation,
          .memory_config = kL1Interleaved};
}

tensor::Tensor DecoderModel::embed(std::span<const std::int32_t> ids, const ForwardContext& context) const {
  const runtime::Scope scope(*device_, "embedding");
  const auto rows = static_cast<std::int64_t>(ids.size());
  return ops::embedding(integers(*device_, {1, 1, rows}, ids, "ids"), embedding_,
                        {.dtype = context.activation, .memory_config = context.memory_config});
}

tensor::Tensor DecoderModel::run_layers(tensor::Tensor x, const ForwardContext& context,
                                        HiddenStates* hidden_states) const {
  if (hidden_states != nullptr) hidden_states->clear();
  capture(hidden_states, x);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const runtime::Scope scope(*device_, fmt::format("layers.{}", layer));
    x = layers_[layer].forward(x, context);
    capture(hidden_states, x);
  }
  return x;
}

tensor::Tensor DecoderModel::head(const tensor::Tensor& x, const ForwardContext& context) const {
  const runtime::Scope scope(*device_, "lm_head");
  // Logits go to the host: DRAM, since a vocabulary of 128 k would take a tenth of L1.
  return ops::linear(x, lm_head_.weight, {.dtype = context.activation, .memory_config = kDramInterleaved});
}

tensor::Tensor DecoderModel::forward_prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                             HiddenStates* hidden_states) {
  const auto length = static_cast<std::int64_t>(ids.size());
  const ForwardContext context = prefill_context(user, length);
  tensor::Tensor x = run_layers(embed(ids, context), context, hidden_states);
  if (rows == LogitsRows::LAST) x = ops::slice_rows(x, length - 1, length);
  return head(final_norm_.forward(x), context);
}

tensor::Tensor DecoderModel::forward_decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                            HiddenStates* hidden_states) {
  const ForwardContext context = decode_context(positions);
  return head(final_norm_.forward(run_layers(embed(ids, context), context, hidden_states)), context);
}

HostTensor DecoderModel::prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                 HiddenStates* hidden_states) {
  check_ids(ids);
  return as_rows(tensor::to_host(forward_prefill(user, ids, rows, hidden_states)));
}

HostTensor DecoderModel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                HiddenStates* hidden_states) {
  base::require(ids.size() == positions.size(), "[decode] as many ids as positions are required; received {} and {}",
                ids.size(), positions.size());
  std::vector<std::int32_t> used(ids.begin(), ids.end());
  for (std::size_t user = 0; user < used.size(); ++user) {
    if (positions[user] < 0) used[user] = 0;
  }
  check_ids(used);
  return as_rows(tensor::to_host(forward_decode(used, positions, hidden_states)));
}

} // namespace tessera::nn
