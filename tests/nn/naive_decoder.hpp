#pragma once

#include <string>
#include <vector>

#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {

/// The decoder written from its definition in double precision, token by token, on the checkpoint's own tensors: rotary
/// embedding in the half-split order of the file, no projections fused by us, no cache but lists of keys and values.
class NaiveDecoder {
 public:
  using Row = std::vector<double>;
  /// [S, N] in fp32.
  using Rows = HostTensor;

  explicit NaiveDecoder(const SmallDecoder& model) : model_(model), config_(model.config()) {}

  /// Logits [S, V]; hidden states as nn::HiddenStates has them.
  Rows logits(const std::vector<std::int32_t>& ids, HiddenStates* hidden_states = nullptr) const;

  /// Half-split rotary embedding of all heads of a row at a position of a sequence of `length`.
  Row rotate(const Row& x, std::int64_t heads, std::int64_t position, std::int64_t length = 1) const;
  Row norm(const Row& x, const std::string& name) const;
  Row mlp(const Row& x, std::int64_t layer) const;
  /// Attention of each row over the rows before it.
  std::vector<Row> attention(const std::vector<Row>& x, std::int64_t layer) const;

 private:
  Row linear(const Row& x, const std::string& name) const;
  Row head_norm(const Row& x, const std::string& name) const;
  Row activated(Row x) const;
  Row mixture(const Row& x, std::int64_t layer) const;
  double weight_of(const std::string& norm, std::size_t i) const;
  struct Qkv {
    Row q;
    Row k;
    Row v;
  };
  Qkv project(const Row& x, std::int64_t layer) const;
  std::string name(std::int64_t layer, const std::string& part) const { return DecoderNames().of_layer(layer, part); }

  const SmallDecoder& model_;
  const DecoderConfig& config_;
};

} // namespace tessera::nn
