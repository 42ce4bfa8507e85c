#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "tessera/nn/decoder_model.hpp"
#include "tessera/runtime/trace.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {

/// Decoding on the device: a step is one replay of a trace and one small read. The first step of a size runs op by op,
/// which is what the card needs before it can capture; the second is captured.
///
/// With two command queues, queue 0 computes while queue 1 writes inputs and reads copies of the tokens.
class DecoderTokenLoop : public TokenLoop {
 public:
  DecoderTokenLoop(DecoderModel& model, std::int64_t users);

  void set_users(std::span<const std::optional<TokenUser>> users) override;
  void begin_step() override;
  bool asynchronous() const override { return true; }
  std::vector<std::int32_t> end_step() override;
  HostTensor logits() override;

 private:
  /// Steps of so many rows.
  struct Size {
    tensor::Tensor logits;
    runtime::Trace trace;
    bool has_run = false;
  };

  DecoderModel& model_;
  runtime::MeshDevice& device_;
  const int transfer_queue_;
  std::vector<std::optional<TokenUser>> users_;
  std::int64_t rows_ = 1; // of a step: a power of two, or all users
  std::map<std::int64_t, Size> sizes_;
  std::deque<tensor::Read<std::vector<std::int32_t>>> reads_;
  std::array<std::optional<runtime::Event>, 2> drawn_read_; // the last read of each of inputs().drawn
  std::size_t turn_ = 0;
  tensor::Tensor logits_; // of the last step
};

} // namespace tessera::nn
