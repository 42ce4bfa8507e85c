#include "tessera/nn/decoder_model.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "tessera/base/error.hpp"
#include "tessera/nn/alibi.hpp"
#include "tessera/nn/decoder_loader.hpp"
#include "tessera/nn/decoder_token_loop.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/sampling/sampling.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

constexpr std::int64_t kMaxUsers = kTileHeight; // a user is a row of one tile

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
            .max_users = options.max_users,
            .mlp_norm = config.mlp_norm,
            .output_norms = config.output_norms,
            .rope = config.positions == PositionKind::ROTARY},
      parallel_(device_->board(), options.scheme, config),
      cache_config_{.users = options.max_users,
                    .context = round_up(options.context, kTileHeight),
                    .kv_heads = parallel_.heads(0, config.kv_heads).count,
                    .head_dim = config.head_dim},
      execution_(options.execution),
      sequences_(static_cast<std::size_t>(options.max_users)) {
  load_weights(names, weights, options);
  // What depends on the context comes after the weights, whose addresses are the same for any, as their cache requires.
  {
    const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::WEIGHTS);
    if (config.positions == PositionKind::ROTARY)
      rope_ = RopeTables(*device_, config.rope, config.head_dim, cache_config_.context, options.precision.activation);
    if (config.positions == PositionKind::ALIBI)
      key_bias_ = alibi_bias(*device_, config, parallel_, cache_config_.context);
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
    if (rope_.depend_on_length()) {
      std::vector<std::int32_t> rows(static_cast<std::size_t>(cache_config_.context));
      std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(cache_config_.context));
      long_prompt_rows_ = tensor::from_host(*device_, std::move(rows), inputs_.prompt_positions.spec(), "prompt_rows");
    }
  }
  device_->synchronize();
}

void DecoderModel::load_weights(const DecoderNames& names, const WeightLoader& weights, const Options& options) {
  const runtime::MemoryKindScope kind(*device_, runtime::MemoryKind::WEIGHTS);
  const DecoderLoader loader(config_, names, precision_, parallel_, weights);
  embedding_ = loader.embedding();
  position_embedding_ = loader.position_embedding();
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    layers_.push_back(loader.layer(layer));
    // One layer at a time: conversions in flight would hold the checkpoint's pages and hide how far the load is.
    device_->synchronize();
    if (options.progress) options.progress(layer + 1, config_.layers);
  }
  final_norm_ = loader.final_norm();
  lm_head_ = loader.lm_head();
  weights_ = weights.loaded();
  weight_cache_ = weights.finish();
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

void DecoderModel::begin_sequence(std::int64_t user, std::int64_t length) {
  base::require(0 <= user && user < info_.max_users, "[model] user must be in 0..{}; received {}", info_.max_users - 1,
                user);
  sequences_[static_cast<std::size_t>(user)].stated_length = length;
}

/// The user's first row of the rotary tables, for a new sequence.
std::int64_t DecoderModel::start_sequence(std::int64_t user, std::int64_t least_length) {
  Sequence& sequence = sequences_[static_cast<std::size_t>(user)];
  sequence.first_row = rope_.first_row(std::max(std::exchange(sequence.stated_length, 0), least_length));
  return sequence.first_row;
}

std::vector<std::int32_t> DecoderModel::rotary_rows(std::span<const std::int32_t> positions) {
  std::vector<std::int32_t> rows(positions.begin(), positions.end());
  for (std::size_t user = 0; user < rows.size(); ++user) {
    if (positions[user] == 0) start_sequence(static_cast<std::int64_t>(user), 1);
    if (positions[user] >= 0) rows[user] += static_cast<std::int32_t>(sequences_[user].first_row);
  }
  return rows;
}

ForwardContext DecoderModel::prefill_context(std::int64_t length, std::int64_t first_row) const {
  const tensor::Tensor& rows = first_row == 0 ? inputs_.prompt_positions : long_prompt_rows_;
  return {.phase = Phase::PREFILL,
          .parallel = parallel_,
          .rope = rope_.look_up(rows.leading(2, length), kDramInterleaved),
          .key_bias = key_bias_,
          .places = inputs_.prompt_positions.leading(2, length),
          .page_table = page_table_,
          .user = inputs_.user,
          .activation = precision_.activation,
          .memory_config = kDramInterleaved,
          .heads_memory_config = kDramInterleaved};
}

ForwardContext DecoderModel::decode_context(const StepInputs& inputs) const {
  return {.phase = Phase::DECODE,
          .parallel = parallel_,
          .rope = rope_.look_up(inputs.rotary_positions, kL1HeightSharded),
          .key_bias = key_bias_,
          .positions = inputs.positions,
          .places = inputs.positions.reshape({1, 1, inputs.positions.shape()[0]}),
          .page_table = page_table_,
          .activation = precision_.activation,
          .memory_config = kL1WidthSharded,
          .heads_memory_config = kL1HeightSharded};
}

tensor::Tensor DecoderModel::embed(const tensor::Tensor& ids, const ForwardContext& context) const {
  const runtime::Scope scope(*device_, "embedding");
  const ops::EmbeddingOptions options{.dtype = context.activation, .memory_config = context.memory_config};
  tensor::Tensor x = ops::embedding(ids, embedding_, options);
  if (config_.embedding_scale != 1.0) {
    const auto scale = static_cast<float>(config_.embedding_scale);
    x = ops::mul(
        x, context.activation == DataType::FLOAT32 ? scale : numerics::from_bfloat16(numerics::to_bfloat16(scale)));
  }
  if (!position_embedding_.defined()) return x;
  return ops::add(x, ops::embedding(context.places, position_embedding_, options));
}

tensor::Tensor DecoderModel::run_layers(tensor::Tensor x, const ForwardContext& context,
                                        HiddenStates* hidden_states) const {
  const auto capture = [&] {
    if (hidden_states != nullptr) hidden_states->push_back(as_rows(parallel_.residual_to_host(x)));
  };
  if (hidden_states != nullptr) hidden_states->clear();
  capture();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const runtime::Scope scope(*device_, fmt::format("layers.{}", layer));
    x = layers_[layer].forward(x, context);
    capture();
  }
  return x;
}

tensor::Tensor DecoderModel::head(const tensor::Tensor& x, const ForwardContext& context) const {
  const runtime::Scope scope(*device_, "lm_head");
  // Logits go to the host: DRAM, since a vocabulary of 128 k would take a tenth of L1.
  const tensor::Tensor part =
      ops::linear(x, lm_head_.weight, {.dtype = context.activation, .memory_config = kDramInterleaved});
  const tensor::Tensor logits = parallel_.gather_logits(parallel_.sum_columns(part), config_.vocab_size);
  return config_.logit_softcap > 0.0 ? ops::softcap(logits, static_cast<float>(config_.logit_softcap)) : logits;
}

tensor::Tensor DecoderModel::prefill_step(std::int64_t length, std::int64_t first_row, LogitsRows rows,
                                          HiddenStates* hidden_states) const {
  const ForwardContext context = prefill_context(length, first_row);
  tensor::Tensor x = run_layers(embed(inputs_.prompt.leading(2, length), context), context, hidden_states);
  if (rows == LogitsRows::LAST) x = ops::slice_rows(x, inputs_.last_row, 1);
  return head(final_norm_.forward(x, context), context);
}

tensor::Tensor DecoderModel::forward_prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                             HiddenStates* hidden_states) {
  const auto length = static_cast<std::int64_t>(ids.size());
  check_prompt(user, length);
  inputs_.write_prompt(user, ids);
  return prefill_step(length, sequences_[static_cast<std::size_t>(user)].first_row, rows, hidden_states);
}

tensor::Tensor DecoderModel::prefill_last(std::int64_t user, std::span<const std::int32_t> ids) {
  const auto length = static_cast<std::int64_t>(ids.size());
  const std::int64_t rows = std::min(prefill_rows(length), cache_config_.context);
  const std::int64_t first_row = sequences_[static_cast<std::size_t>(user)].first_row;
  const std::pair key{rows, first_row};
  if (!execution_.trace ||
      (static_cast<std::int64_t>(prefill_traces_.size()) >= kMostPrefillTraces && !prefill_traces_.contains(key)))
    return forward_prefill(user, ids, LogitsRows::LAST, nullptr);
  // Causal attention keeps the rows of the prompt from those behind it, whose keys and values later tokens replace.
  PrefillTrace& entry = prefill_traces_[key];
  inputs_.write_prompt(user, ids);
  if (!entry.has_run) {
    // What the card needs before it can capture; lengths that do not come again are spared the rows behind.
    const bool whole = ++entry.uses > 1 || length == rows;
    entry.has_run = whole;
    return prefill_step(whole ? rows : length, first_row, LogitsRows::LAST, nullptr);
  }
  if (!entry.trace.captured()) {
    entry.trace = runtime::Trace(device_, device_->queue().id(),
                                 [&] { entry.logits = prefill_step(rows, first_row, LogitsRows::LAST, nullptr); });
    entry.logits.acknowledge_corruptible(); // read before the next replay of any trace
  }
  entry.trace.execute(false);
  return entry.logits;
}

tensor::Tensor DecoderModel::forward_decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                            HiddenStates* hidden_states) {
  check_positions(positions);
  base::require(ids.size() == positions.size(), "[decode] as many ids as positions are required; received {} and {}",
                ids.size(), positions.size());
  for (std::size_t user = 0; user < ids.size(); ++user) {
    if (positions[user] >= 0) check_ids(ids.subspan(user, 1));
  }
  inputs_.write_users(ids, positions, rotary_rows(positions));
  const StepInputs inputs = inputs_.of_users(static_cast<std::int64_t>(ids.size()));
  const ForwardContext context = decode_context(inputs);
  return head(final_norm_.forward(run_layers(embed(inputs.ids, context), context, hidden_states), context), context);
}

tensor::Tensor DecoderModel::decode_step(std::int64_t rows) {
  const StepInputs inputs = inputs_.of_users(rows);
  const ForwardContext context = decode_context(inputs);
  const tensor::Tensor logits =
      head(final_norm_.forward(run_layers(embed(inputs.ids, context), context, nullptr), context), context);
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
  start_sequence(user, static_cast<std::int64_t>(ids.size()));
  const bool traceable = rows == LogitsRows::LAST && hidden_states == nullptr;
  return as_rows(
      tensor::to_host(traceable ? prefill_last(user, ids) : forward_prefill(user, ids, rows, hidden_states)));
}

HostTensor DecoderModel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                HiddenStates* hidden_states) {
  return as_rows(tensor::to_host(forward_decode(ids, positions, hidden_states)));
}

} // namespace tessera::nn
