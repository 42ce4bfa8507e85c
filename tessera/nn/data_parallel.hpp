#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tessera/nn/decoder_model.hpp"

namespace tessera::nn {

/// Copies of one model, each on chips and command queues of its own, which users are spread over: user u is user u / N
/// of copy u % N. A step of all copies runs on all of them at once.
class DataParallel : public CausalLM {
 public:
  /// REQUIRES: at least one copy; all of the same model and options.
  explicit DataParallel(std::vector<std::unique_ptr<DecoderModel>> copies);

  const CausalLMInfo& info() const override { return info_; }
  void begin_sequence(std::int64_t user, std::int64_t length) override;
  HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                     HiddenStates* hidden_states) override;
  HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                    HiddenStates* hidden_states) override;
  std::unique_ptr<TokenLoop> token_loop(std::int64_t users) override;
  int command_queues() const override { return copies_.front()->command_queues(); }
  Execution set_execution(const Execution& execution) override;
  /// Sequence b runs on copy b % N.
  HostTensor run_module(std::string_view name, const HostTensor& x, Phase phase) override;

  std::int64_t count() const { return static_cast<std::int64_t>(copies_.size()); }
  DecoderModel& copy(std::int64_t number) { return *copies_[static_cast<std::size_t>(number)]; }

 private:
  std::vector<std::unique_ptr<DecoderModel>> copies_;
  CausalLMInfo info_;
};

} // namespace tessera::nn
