#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/nn/tensor_parallel.hpp"
#include "tessera/nn/weights.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// What the layers of a transformer's encoder (Vaswani et al., "Attention Is All You Need") have in common.
struct EncoderConfig {
  std::int64_t hidden_size = 768; ///< E
  std::int64_t heads = 12;
  std::int64_t mlp_hidden = 3072; ///< F
  bool qkv_bias = true;
  ops::Activation activation = ops::Activation::GELU;
  float norm_eps = 1e-12F;

  /// Multiply-adds of a layer's matrix products, for each token, and of its attention over so many.
  std::int64_t macs_of_token() const { return 4 * hidden_size * hidden_size + 2 * hidden_size * mlp_hidden; }
  std::int64_t macs_of_attention(std::int64_t tokens) const { return 2 * tokens * tokens * hidden_size; }
  /// Elements of a layer's weights.
  std::int64_t parameters() const {
    return macs_of_token() + 9 * hidden_size + mlp_hidden - (qkv_bias ? 0 : 3 * hidden_size);
  }
};

/// Layer norm of each row.
struct EncoderNorm {
  Tensor weight; ///< [1, 1, 1, E]
  Tensor bias;
};

/// The weights of a layer; where its norms stand, its model says.
struct EncoderLayer {
  EncoderNorm attention_norm;
  Linear qkv;
  Linear output;
  EncoderNorm mlp_norm;
  Linear up;
  Linear down;
  std::optional<ComputeConfig> attention_compute = {};
};

/// What a checkpoint calls a layer's tensors, without ".weight" and ".bias".
struct EncoderLayerNames {
  std::string attention_norm;
  std::string qkv; ///< "query", "key" and "value" follow
  std::string output;
  std::string mlp_norm;
  std::string up;
  std::string down;
};

/// Loads and runs the parts of encoder layers.
///
/// With tensor parallelism (Shoeybi et al., "Megatron-LM") the chips of a mesh row share heads and MLP width: QKV and
/// the MLP's first projection are cut by columns, the projections behind them by rows, whose products are summed over
/// the row of chips. Tokens and norms are whole on every chip.
class Encoder {
 public:
  /// REQUIRES: the chips of a copy divide the heads and, when they are several, are the columns of the mesh.
  Encoder(const EncoderConfig& config, const Precision& precision, std::int64_t copies, std::int64_t tensor_parallel)
      : config_(config), precision_(precision), copies_(copies), tensor_parallel_(tensor_parallel) {}

  /// Formats by nn::Precision: attention's projections are `wqkv` and `wo`, the MLP's `ff1_3` and `ff2`; norms and
  /// biases `norm`. Throws IoError for tensors that are missing or misshapen.
  EncoderLayer load_layer(const WeightLoader& weights, const EncoderLayerNames& names, std::int64_t number) const;
  /// `name`.weight and .bias, or .gamma and .beta as checkpoints converted from TensorFlow have them.
  EncoderNorm load_norm(const WeightLoader& weights, const std::string& name) const;
  /// All of it on every chip.
  Linear load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs, std::int64_t inputs,
                     DataType dtype) const;

  Tensor normalize(const Tensor& x, const EncoderNorm& norm) const;
  /// Attention of each of so many sequences, which follow each other in the rows of x [1, 1, items S, E], with its
  /// output projection. `mask` is ops::AttentionOptions::attn_mask.
  Tensor attend(const Tensor& x, const EncoderLayer& layer, std::int64_t items, const Tensor& mask = {}) const;
  Tensor feed_forward(const Tensor& x, const EncoderLayer& layer) const;
  Tensor project(const Tensor& x, const Linear& linear, ops::Activation function = ops::Activation::NONE) const;

 private:
  /// Rows of a weight, or its columns, that a chip holds: by its place in its row of the mesh.
  using RangeOfPlace = std::function<TensorParallel::Range(std::int64_t)>;

  /// rows(place) for every chip, and which chips hold the same.
  MeshRows of_places(const std::function<HostRows(std::int64_t)>& rows) const;
  runtime::Sharing sharing_of_places() const;
  TensorParallel::Range heads_of(std::int64_t place) const; ///< as elements of the hidden width
  TensorParallel::Range mlp_of(std::int64_t place) const;   ///< of the MLP's width; may reach beyond its end

  Linear load_column_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                              std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const;
  Linear load_row_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                           std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const;
  /// The sum of what the chips of a copy give.
  Tensor sum_chips(const Tensor& partial) const;
  Linear load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const;

  EncoderConfig config_;
  Precision precision_;
  std::int64_t copies_;
  std::int64_t tensor_parallel_;
};

} // namespace tessera::nn
