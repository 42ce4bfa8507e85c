#pragma once

#include <string>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/precision.hpp"
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
class Encoder {
 public:
  Encoder(const EncoderConfig& config, const Precision& precision) : config_(config), precision_(precision) {}

  /// Formats by nn::Precision: attention's projections are `wqkv` and `wo`, the MLP's `ff1_3` and `ff2`; norms and
  /// biases `norm`. Throws IoError for tensors that are missing or misshapen.
  EncoderLayer load_layer(const WeightLoader& weights, const EncoderLayerNames& names, std::int64_t number) const;
  /// `name`.weight and .bias, or .gamma and .beta as checkpoints converted from TensorFlow have them.
  EncoderNorm load_norm(const WeightLoader& weights, const std::string& name) const;
  Linear load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs, std::int64_t inputs,
                     DataType dtype) const;

  Tensor normalize(const Tensor& x, const EncoderNorm& norm) const;
  /// Attention of each of so many sequences, which follow each other in the rows of x [1, 1, items S, E], with its
  /// output projection. `mask` is ops::AttentionOptions::attn_mask.
  Tensor attend(const Tensor& x, const EncoderLayer& layer, std::int64_t items, const Tensor& mask = {}) const;
  Tensor feed_forward(const Tensor& x, const EncoderLayer& layer) const;
  Tensor project(const Tensor& x, const Linear& linear, ops::Activation function = ops::Activation::NONE) const;

 private:
  Linear load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const;

  EncoderConfig config_;
  Precision precision_;
};

} // namespace tessera::nn
