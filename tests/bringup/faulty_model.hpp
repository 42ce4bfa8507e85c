#pragma once

#include <string>
#include <utility>

#include "tessera/nn/causal_lm.hpp"

namespace tessera::testing {

/// A fault in one path of a model.
struct Fault {
  enum class Path {
    NONE,
    DECODE_MODULE,  ///< run_module in DECODE
    PREFILL_MODULE, ///< run_module in PREFILL
    DECODE,         ///< the whole model's decode
    PREFILL,        ///< the whole model's prefill where it gives all rows
    PREFILL_LAST,   ///< the whole model's prefill where it gives the last row
    TRACED,         ///< the whole model's decode when it is traced
    TWO_QUEUES,     ///< the whole model's decode when it runs over two queues
  };
  enum class Kind { NOISE, SCALE, NOT_A_NUMBER, THROW };

  Path path = Path::NONE;
  std::string module; ///< of run_module; in the whole model "layers.N", with all that follows it, or "logits"
  Kind kind = Kind::NOISE;
};

/// Passes everything to another model, but for one fault.
class FaultyModel : public nn::CausalLM {
 public:
  FaultyModel(nn::CausalLM& inner, Fault fault) : inner_(inner), fault_(std::move(fault)), info_(inner.info()) {}

  const nn::CausalLMInfo& info() const override { return info_; }
  void begin_sequence(std::int64_t user, std::int64_t length) override;
  tensor::HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                             nn::HiddenStates* hidden_states) override;
  tensor::HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                            nn::HiddenStates* hidden_states) override;
  tensor::HostTensor run_module(std::string_view name, const tensor::HostTensor& x, nn::Phase phase) override;
  /// As if it ran on a device with two.
  int command_queues() const override { return 2; }
  nn::Execution set_execution(const nn::Execution& execution) override { return std::exchange(execution_, execution); }

  /// To be changed by a test: dimensions misread.
  nn::CausalLMInfo& mutable_info() { return info_; }

 private:
  void spoil(tensor::HostTensor& values) const;
  void spoil_model(Fault::Path path, tensor::HostTensor& logits, nn::HiddenStates* hidden_states) const;

  nn::CausalLM& inner_;
  Fault fault_;
  nn::CausalLMInfo info_;
  nn::Execution execution_{.trace = false, .two_queues = false};
};

} // namespace tessera::testing
