#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/decoder_layer.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/nn/step_inputs.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/nn/weights.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/runtime/trace.hpp"

namespace tessera::nn {

/// A decoder-only transformer on a mesh of chips, which share each layer (TensorParallel).
class DecoderModel : public CausalLM {
 public:
  struct Options {
    Precision precision;
    std::int64_t context = 2048; ///< positions of the KV cache for each user
    std::int64_t max_users = 1;  ///< 1 to 32, the rows of a tile
    Execution execution{};
    TensorParallelScheme scheme = TensorParallelScheme::LINE; ///< how the chips of the device share each layer
    /// Called after each layer is converted: (done, total).
    std::function<void(std::int64_t, std::int64_t)> progress;
  };

  /// Puts the weights on the device. Throws InvalidArgument for impossible options, IoError for tensors that are
  /// missing or misshapen, OutOfMemory when the card is too small.
  DecoderModel(std::shared_ptr<runtime::MeshDevice> device, const DecoderConfig& config, const DecoderNames& names,
               const WeightLoader& weights, const Options& options);

  const CausalLMInfo& info() const override { return info_; }
  void begin_sequence(std::int64_t user, std::int64_t length) override;
  HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                     HiddenStates* hidden_states) override;
  HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                    HiddenStates* hidden_states) override;
  HostTensor run_module(std::string_view name, const HostTensor& x, Phase phase) override;

  std::unique_ptr<TokenLoop> token_loop(std::int64_t users) override;

  /// The forward passes on the device, without reading back: what record mode runs. Logits [1, 1, R', V].
  tensor::Tensor forward_prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                 HiddenStates* hidden_states = nullptr);
  tensor::Tensor forward_decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                HiddenStates* hidden_states = nullptr);
  /// One decode step on the inputs that are on the device: logits [1, 1, rows, V]. The users' next tokens are drawn
  /// into inputs().ids and their positions raised, so that the next step needs nothing from the host.
  tensor::Tensor decode_step(std::int64_t rows);
  /// The tensors that steps read.
  const StepInputs& inputs() const { return inputs_; }
  /// The rows of the rotary tables that the users' positions stand for, -1 for idle users. A user at position 0 begins
  /// its sequence.
  std::vector<std::int32_t> rotary_rows(std::span<const std::int32_t> positions);

  int command_queues() const override { return device_->command_queues(); }
  Execution set_execution(const Execution& execution) override { return std::exchange(execution_, execution); }
  const Execution& execution() const { return execution_; }

  const TensorParallel& parallel() const { return parallel_; }
  /// All weights, in the order of loading: what a copy of the model on another device shares.
  const std::vector<tensor::Tensor>& weights() const { return weights_; }
  runtime::MeshDevice& device() { return *device_; }

 private:
  /// A module by itself on the rows of one forward pass: [R, width] -> [R, width of the output].
  using RowsModule = std::function<HostTensor(const HostTensor&, const ForwardContext&)>;

  void load_weights(const DecoderNames& names, const WeightLoader& weights, const Options& options);
  /// Prompts of up to so many tokens, run by one trace.
  struct PrefillTrace {
    std::int64_t uses = 0;
    bool has_run = false; // with this many rows
    runtime::Trace trace;
    tensor::Tensor logits; // [1, 1, 1, V]
  };

  /// Of a sequence whose rows of the rotary tables begin at `first_row`.
  ForwardContext prefill_context(std::int64_t length, std::int64_t first_row) const;
  ForwardContext decode_context(const StepInputs& inputs) const;
  tensor::Tensor prefill_step(std::int64_t length, std::int64_t first_row, LogitsRows rows,
                              HiddenStates* hidden_states) const;
  std::int64_t start_sequence(std::int64_t user, std::int64_t least_length);
  tensor::Tensor prefill_last(std::int64_t user, std::span<const std::int32_t> ids);
  tensor::Tensor embed(const tensor::Tensor& ids, const ForwardContext& context) const;
  tensor::Tensor run_layers(tensor::Tensor x, const ForwardContext& context, HiddenStates* hidden_states) const;
  tensor::Tensor head(const tensor::Tensor& x, const ForwardContext& context) const;
  RowsModule module(std::string_view name) const;
  HostTensor rotate_rows(const HostTensor& rows, const ForwardContext& context) const;
  void check_ids(std::span<const std::int32_t> ids) const;
  void check_prompt(std::int64_t user, std::int64_t length) const;
  void check_positions(std::span<const std::int32_t> positions) const;

  std::shared_ptr<runtime::MeshDevice> device_;
  DecoderConfig config_;
  Precision precision_;
  CausalLMInfo info_;
  TensorParallel parallel_;
  KvCacheConfig cache_config_; // of one chip
  Execution execution_;
  tensor::Tensor page_table_;
  StepInputs inputs_;
  std::map<std::pair<std::int64_t, std::int64_t>, PrefillTrace> prefill_traces_; // by rows and first rotary row
  tensor::Tensor embedding_;          // [1, 1, V, E] ROW_MAJOR, each chip its part of E
  tensor::Tensor position_embedding_; // [1, 1, positions, E], the same; of learned positions
  RopeTables rope_;
  tensor::Tensor long_prompt_rows_; // [1, 1, C]: a long prompt's rows of the rotary tables, where they differ
  tensor::Tensor key_bias_;         // of attention scores, or none
  struct Sequence {
    std::int64_t first_row = 0;     // of the rotary tables
    std::int64_t stated_length = 0; // of the sequence to come; 0: not stated
  };
  std::vector<Sequence> sequences_; // of the users
  std::vector<tensor::Tensor> weights_;
  std::vector<DecoderLayer> layers_;
  Norm final_norm_;
  Linear lm_head_;                           // [E, V]
  std::shared_ptr<const void> weight_cache_; // last: it may be reading the weights until it ends
};

} // namespace tessera::nn
