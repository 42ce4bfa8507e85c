#pragma once

#include <cstdint>
#include <vector>

#include "tessera/nn/causal_lm.hpp"

namespace tessera::testing {

struct TinyModelOptions {
  std::int64_t context = 64;
  std::int64_t max_users = 4;
  bool bfloat16_weights = false; ///< rounds the weights: the same model with an accelerator's small errors
};

/// A decoder of three layers with random weights, computed row by row in the plainest way: pre-norm, rotary embedding,
/// attention through a KV cache, SwiGLU. The same seed gives the same weights always.
class TinyModel : public nn::CausalLM {
 public:
  explicit TinyModel(TinyModelOptions options = {});

  const nn::CausalLMInfo& info() const override { return info_; }
  tensor::HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                             nn::HiddenStates* hidden_states) override;
  tensor::HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                            nn::HiddenStates* hidden_states) override;
  tensor::HostTensor run_module(std::string_view name, const tensor::HostTensor& x, nn::Phase phase) override;

  /// Calls of prefill, decode and run_module, to see what was computed anew.
  std::int64_t calls() const { return calls_; }

 private:
  using Row = std::vector<float>;
  struct Matrix { // [N, K]
    std::int64_t rows = 0;
    Row values;
    Row times(const Row& x) const;
  };
  struct Layer {
    Matrix q, k, v, o, gate, up, down;
    Row input_norm, post_attention_norm;
    std::vector<std::vector<Row>> keys, values; // [user][position] [E]
  };
  struct Place { // where a row belongs
    std::int64_t user;
    std::int64_t position;
  };

  Matrix random_matrix(std::int64_t rows, std::int64_t columns);
  Row random_norm();
  Row embedding(std::int32_t id) const;
  Row attention(Layer& layer, const Row& x, Place place);
  Row mlp(const Layer& layer, const Row& x) const;
  Row decoder_layer(Layer& layer, const Row& x, Place place);
  Row module_row(std::string_view name, const Row& x, Place place);
  /// One token through the model; `states` gets layers + 1 rows. Returns the logits.
  Row token(std::int32_t id, Place place, std::vector<Row>& states);
  void check(std::int32_t id, Place place) const;

  nn::CausalLMInfo info_;
  bool round_;
  std::uint64_t random_state_ = 12345;
  std::int64_t calls_ = 0;
  Matrix embedding_; // [V, E]
  Matrix lm_head_;   // [V, E]
  std::vector<Layer> layers_;
  Row final_norm_;
};

} // namespace tessera::testing
