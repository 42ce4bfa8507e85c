#pragma once

// Private to the reference: `reference.hpp` is what others use.

#include <string>
#include <vector>

#include "tessera/reference/reference.hpp"
#include "tessera/reference/weight_store.hpp"

namespace tessera::reference {

/// The reference behind nn's interface: weights, caches, and the decoder's forward pass.
class ReferenceModel final : public nn::CausalLM {
 public:
  ReferenceModel(const checkpoint::Checkpoint& checkpoint, const ReferenceOptions& options);

  const nn::CausalLMInfo& info() const override { return info_; }
  void begin_sequence(std::int64_t user, std::int64_t length) override;
  nn::HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                         nn::HiddenStates* hidden_states) override;
  /// A user's position may be at most the number of positions in its cache; what lies at or after it is forgotten.
  nn::HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                        nn::HiddenStates* hidden_states) override;
  nn::HostTensor run_module(std::string_view name, const nn::HostTensor& x, nn::Phase phase) override;

 private:
  struct User {
    std::vector<LayerCache> layers; // keys and values; all layers have the same length
    std::int64_t length = 1;        // of the whole sequence, what is yet to come included
    std::int64_t stated_length = 0; // of the next one; 0: not stated
  };

  at::Tensor check_ids(std::string_view op, std::span<const std::int32_t> ids) const;
  static void start_sequence(User& user, std::int64_t least_length);
  at::Tensor embed(const at::Tensor& ids, std::int64_t first_position);
  at::Tensor head(const at::Tensor& x);
  at::Tensor extend(User& user, const at::Tensor& ids, nn::HiddenStates* hidden_states);
  at::Tensor run_layer_module(std::int64_t layer, std::string_view part, const at::Tensor& x);

  DecoderDescription model_;
  WeightStore weights_;
  nn::CausalLMInfo info_;
  std::vector<User> users_;
};

} // namespace tessera::reference
