#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/ops/sampling/draw_token.hpp"
#include "tessera/tensor/host_tensor.hpp"

namespace tessera::nn {

class CausalLM;

/// A user of a TokenLoop: the token that is fed next, where, and how the one after it is drawn (ops::draw_token).
struct TokenUser {
  std::int32_t id = 0;
  std::int32_t position = 0;
  ops::SamplingParameters sampling;
  std::uint64_t seed = 0;
};

/// Decodes several users, one token each per step; the tokens are drawn where the model runs and are the next step's
/// input, so that the host only reads them. Steps may be begun before the one before has been read.
class TokenLoop {
 public:
  virtual ~TokenLoop() = default;

  /// Entry i is the user of row i; none: idle. REQUIRES: no step is under way; as many as the loop was made for.
  virtual void set_users(std::span<const std::optional<TokenUser>> users) = 0;
  /// Feeds every user its token and draws the next.
  virtual void begin_step() = 0;
  /// Whether begin_step returns before the step has ended, so that it pays to begin the next before this one is read.
  virtual bool asynchronous() const = 0;
  /// The tokens of the oldest step that was begun and not ended, by user; those of idle users mean nothing. Waits, and
  /// rethrows the device's errors.
  virtual std::vector<std::int32_t> end_step() = 0;
  /// Logits [B, V] of the last step that was begun, for comparisons. Waits.
  virtual tensor::HostTensor logits() = 0;
};

/// A loop over CausalLM::decode, for models that have none of their own.
class HostTokenLoop : public TokenLoop {
 public:
  HostTokenLoop(CausalLM& model, std::int64_t users);
  void set_users(std::span<const std::optional<TokenUser>> users) override;
  void begin_step() override;
  bool asynchronous() const override { return false; }
  std::vector<std::int32_t> end_step() override;
  tensor::HostTensor logits() override { return logits_; }

 private:
  CausalLM& model_;
  std::vector<std::optional<TokenUser>> users_;
  std::vector<std::vector<std::int32_t>> drawn_; // of the steps begun and not ended
  tensor::HostTensor logits_;
};

} // namespace tessera::nn
