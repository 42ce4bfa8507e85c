#include "tessera/nn/decoder_model.hpp"

#include <algorithm>
#include <bit>

#include "tessera/base/error.hpp"
#include "tessera/nn/decoder_token_loop.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/sampling/sampling.hpp"
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

void capture(HiddenStates* hidden_states, const tensor::Tensor& x) {
  if (hidden_states == nullptr) return;
  HostTensor state = tensor::to_host(x);
  state.shape = Shape{x.shape()[-2], x.shape()[-1]};
  hidden_states->push_back(std::move(state));
}

/// Rows of the trace that prefills `length` tokens: at most an eighth more, so that few traces serve all lengths.
std::int64_t prefill_rows(std::int64_t length) {
  const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(length))) / 8;
  return step <= 1 ? length : round_up(length, step);
}
// Traces of prefill that are kept. Other lengths run op by op, which costs a prefill little.
constexpr std::int64_t kMostPrefillTraces = 8;

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
                    .head_dim = config.head_dim},
      execution_(options.execution) {
  load_weights(names, weights, options);
  // What depends on the context comes after the weights, whose addresses are the same for any, as their cache requires.
  {
    const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::WEIGHTS);
    rope_ = RopeTables(*device_, config.rope, config.head_dim, cache_config_.context, options.precision.activation);
  }
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const runtime::Scope scope(*device_, fmt::format("layers.{}", layer));
    layers_[static_cast<std::size_t>(layer)].attention.set_cache(
        KvCache(*device_, cache_config_, precision_.of_layer(layer).kv_cache));
  }
  page_table_ = identity_page_table(*device_, cache_config_);
  {
    const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::KV_CACHE); // with the page table
    inputs_ = StepInputs(*device_, options.max_users, options.context);
  }
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

void DecoderModel::check_prompt(std::int64_t user, std::int64_t length) const {
  base::require(0 <= user && user < info_.max_users, "[prefill] user must be in 0..{}; received {}",
                info_.max_users - 1, user);
  base::require(length > 0, "[prefill] a prompt of one token or more is required; received none");
  base::require(length <= info_.context,
                "[prefill] a prompt of at most {} tokens is possible with this context; received {}; raise --context",
                info_.context, length);
}

void DecoderModel::check_positions(std::span<const std::int32_t> positions) const {
  const auto users = static_cast<std::int64_t>(positions.size());
  base::require(0 < users && users <= info_.max_users, "[decode] 1 to {} users are possible; received {}",
                info_.max_users, users);
  for (std::int32_t position : positions) {
    base::require(-1 <= position && position < info_.context,
                  "[decode] positions must be in 0..{} (-1: idle); received {}; raise --context", info_.context - 1,
                  position);
  }
}

ForwardContext DecoderModel::prefill_context(std::int64_t length) const {
  return {.phase = Phase::PREFILL,
          .rope = rope_.look_up(inputs_.prompt_positions.leading(2, length), kDramInterleaved),
          .page_table = page_table_,
          .user = inputs_.user,
          .activation = precision_.activation,
          .memory_config = kDramInterleaved};
}

ForwardContext DecoderModel::decode_context(const StepInputs& inputs) const {
  return {.phase = Phase::DECODE,
          .rope = rope_.look_up(inputs.rotary_positions, kL1Interleaved),
          .positions = inputs.positions,
          .page_table = page_table_,
          .activation = precision_.activation,
          .memory_config = kL1Interleaved};
}

tensor::Tensor DecoderModel::embed(const tensor::Tensor& ids, const ForwardContext& context) const {
  const runtime::Scope scope(*device_, "embedding");
  return ops::embedding(ids, embedding_, {.dtype = context.activation, .memory_config = context.memory_config});
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

tensor::Tensor DecoderModel::prefill_step(std::int64_t length, LogitsRows rows, HiddenStates* hidden_states) const {
  const ForwardContext context = prefill_context(length);
  tensor::Tensor x = run_layers(embed(inputs_.prompt.leading(2, length), context), context, hidden_states);
  if (rows == LogitsRows::LAST) x = ops::slice_rows(x, inputs_.last_row, 1);
  return head(final_norm_.forward(x), context);
}

tensor::Tensor DecoderModel::forward_prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                             HiddenStates* hidden_states) {
  const auto length = static_cast<std::int64_t>(ids.size());
  check_prompt(user, length);
  inputs_.write_prompt(user, ids);
  return prefill_step(length, rows, hidden_states);
}

tensor::Tensor DecoderModel::prefill_last(std::int64_t user, std::span<const std::int32_t> ids) {
  const auto length = static_cast<std::int64_t>(ids.size());
  const std::int64_t rows = std::min(prefill_rows(length), cache_config_.context);
  if (!execution_.trace ||
      (static_cast<std::int64_t>(prefill_traces_.size()) >= kMostPrefillTraces && !prefill_traces_.contains(rows)))
    return forward_prefill(user, ids, LogitsRows::LAST, nullptr);
  // Causal attention keeps the rows of the prompt from those behind it, whose keys and values later tokens replace.
  PrefillTrace& entry = prefill_traces_[rows];
  inputs_.write_prompt(user, ids);
  if (!entry.has_run) {
    // What the card needs before it can capture; lengths that do not come again are spared the rows behind.
    const bool whole = ++entry.uses > 1 || length == rows;
    entry.has_run = whole;
    return prefill_step(whole ? rows : length, LogitsRows::LAST, nullptr);
  }
  if (!entry.trace.captured()) {
    entry.trace = runtime::Trace(device_, device_->queue().id(),
                                 [&] { entry.logits = prefill_step(rows, LogitsRows::LAST, nullptr); });
    entry.logits.acknowledge_corruptible(); // read before the next replay of any trace
  }
  entry.trace.execute(false);
  return entry.logits;
}

tensor::Tensor DecoderModel::forward_decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                            HiddenStates* hidden_states) {
  check_positions(positions);
  inputs_.write_users(ids, positions);
  const StepInputs inputs = inputs_.of_users(static_cast<std::int64_t>(ids.size()));
  const ForwardContext context = decode_context(inputs);
  return head(final_norm_.forward(run_layers(embed(inputs.ids, context), context, hidden_states)), context);
}

tensor::Tensor DecoderModel::decode_step(std::int64_t rows) {
  const StepInputs inputs = inputs_.of_users(rows);
  const ForwardContext context = decode_context(inputs);
  const tensor::Tensor logits =
      head(final_norm_.forward(run_layers(embed(inputs.ids, context), context, nullptr)), context);
  const runtime::Scope scope(*device_, "sampling");
  ops::sampling(logits,
                {.temperature = inputs.temperature,
                 .k = inputs.top_k,
                 .p = inputs.top_p,
                 .seed = inputs.seed,
                 .positions = inputs.positions},
                inputs.ids);
  ops::plus_one(inputs.positions);
  ops::plus_one(inputs.rotary_positions);
  return logits;
}

std::unique_ptr<TokenLoop> DecoderModel::token_loop(std::int64_t users) {
  return std::make_unique<DecoderTokenLoop>(*this, users);
}

HostTensor DecoderModel::prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                 HiddenStates* hidden_states) {
  check_ids(ids);
  check_prompt(user, static_cast<std::int64_t>(ids.size()));
  const bool traceable = rows == LogitsRows::LAST && hidden_states == nullptr;
  return as_rows(
      tensor::to_host(traceable ? prefill_last(user, ids) : forward_prefill(user, ids, rows, hidden_states)));
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
