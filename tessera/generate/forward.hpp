#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "tessera/nn/causal_lm.hpp"
#include "tessera/tensor/host_tensor.hpp"

namespace tessera::generate {

/// What a model makes of one sequence of S ids.
struct SequenceOutput {
  tensor::HostTensor logits;      ///< [S, V]
  nn::HiddenStates hidden_states; ///< layers + 1 tensors [S, E]; empty when not asked for
};

struct ForwardOptions {
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  /// Positions of each sequence that go through prefill; the rest are fed one by one through decode and the KV cache.
  /// kAll: prefill alone. 0: decode alone.
  std::int64_t prefill_positions = kAll;
  bool hidden_states = false;
  /// Positions of the whole sequences that these are the beginnings of, one for each; empty: these are whole
  /// (CausalLM::begin_sequence).
  std::vector<std::int64_t> whole_lengths = {};
  /// Called after each prefill and each decode step: positions done, positions in all. May throw to stop the work.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// Runs whole sequences, of any lengths, through a model: prefill one after the other, decode `max_users` at a time.
/// Overwrites the users' caches. Throws InvalidArgument for an empty sequence, one that is longer than the context, or
/// ids outside the vocabulary.
std::vector<SequenceOutput> forward(nn::CausalLM& model, std::span<const std::vector<std::int32_t>> sequences,
                                    const ForwardOptions& options = {});

/// Joins the outputs of B sequences of equal length S: [B, S, V], and [B, S, E] for each hidden state. Takes the
/// outputs apart as it goes, so that the peak is one tensor above the result. Throws InvalidArgument when lengths
/// differ.
SequenceOutput stack(std::vector<SequenceOutput> outputs);

/// Throws InvalidArgument unless a sequence has between 1 id and the model's context, all inside its vocabulary. `what`
/// names the sequence in the text: "prompt", "sequence 3".
void check_sequence(const nn::CausalLMInfo& model, std::span<const std::int32_t> ids, const std::string& what);

} // namespace tessera::generate
