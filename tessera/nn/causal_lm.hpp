#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/nn/token_loop.hpp"
#include "tessera/tensor/host_tensor.hpp"

namespace tessera::nn {

using tensor::HostTensor;

/// DECODE: a row is a user, one token each. PREFILL: a row is a position of one user.
enum class Phase { DECODE, PREFILL };

/// What callers need to know of a model.
struct CausalLMInfo {
  std::string family; ///< "falcon", "llama", ...: models::families()
  std::int64_t layers = 0;
  std::int64_t hidden_size = 0;     ///< E
  std::int64_t vocab_size = 0;      ///< V
  std::int64_t attention_width = 0; ///< Hq * D: the width of the "rope" module
  std::int64_t context = 0;         ///< positions that the KV cache holds for each user
  std::int64_t max_users = 0;       ///< users that decode can take at once
  bool mlp_norm = true;             ///< layers have a norm of the MLP's own, the module post_attention_norm
  bool output_norms = false;        ///< and norms of the outputs: attention_output_norm and mlp_output_norm
  bool rope = true;                 ///< heads are turned: the module rope
};

/// Which rows of the final hidden state go through the LM head.
enum class LogitsRows { LAST, ALL };

/// Hidden states as they leave the embedding and each layer, when a caller asks for them: entry 0 is the input of layer
/// 0, entry i the output of layer i-1 with the residual added, entry `layers` is before the final norm. [rows, E] each.
using HiddenStates = std::vector<HostTensor>;

/// How the steps of a model run on its device. The results are the same, bit for bit.
struct Execution {
  bool trace = true;      ///< replay captured traces where a step comes again
  bool two_queues = true; ///< transfers on a queue of their own, where the device has two
};

/// A causal language model with a KV cache for `max_users` users. The device's models and the reference implement it.
///
/// Errors: InvalidArgument for token ids outside the vocabulary, empty prompts, users or positions out of range.
class CausalLM {
 public:
  virtual ~CausalLM() = default;

  virtual const CausalLMInfo& info() const = 0;

  /// Says how many positions the next sequence of a user will have in all, its prompt and what is generated. Models
  /// whose rotary embedding depends on the length choose by it, once for the whole sequence; without it, and where the
  /// prompt is longer, by the prompt's length. A sequence begins with a prefill, or with a decode at position 0.
  virtual void begin_sequence(std::int64_t /*user*/, std::int64_t /*length*/) {}

  /// Runs a prompt [S] of one user at positions 0..S-1 and leaves its keys and values in the user's cache, replacing
  /// what was there. Returns logits: [1, V] for LAST, [S, V] for ALL. `hidden_states`, when given, is replaced.
  virtual HostTensor prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                             HiddenStates* hidden_states) = 0;

  /// Runs one token of each user: ids [B], positions [B]; B <= max_users, entry i is user i. A position of -1 marks an
  /// idle user, whose id is ignored and whose logits are unspecified. Returns logits [B, V].
  virtual HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                            HiddenStates* hidden_states) = 0;

  /// A loop that decodes `users` users together, 1 to max_users. It holds a reference to the model; one at a time, and
  /// `decode` is not called between its steps.
  virtual std::unique_ptr<TokenLoop> token_loop(std::int64_t users);

  /// Command queues of the model's device; 0: the model runs on the host, where there is nothing to choose.
  virtual int command_queues() const { return 0; }
  /// Chooses how steps run from here on; returns what was chosen before. REQUIRES: no TokenLoop lives.
  virtual Execution set_execution(const Execution& execution) { return execution; }

  /// Runs one module by itself on B sequences of S positions: x [B, S, width] -> [B, S, width of the output].
  ///
  /// Modules: "embedding" (x is [B, S], token ids as floats), "layers.N.input_norm", "layers.N.rope" (the rotary
  /// embedding of the query heads, where there is one, x [B, S, Hq*D] in Hugging Face's half-split order),
  /// "layers.N.attention" (with the output projection, without the residual), "layers.N.attention_output_norm" (where
  /// there is one), "layers.N.post_attention_norm" (the MLP's, where it has its own), "layers.N.mlp",
  /// "layers.N.mlp_output_norm", "layers.N" (a whole decoder layer), "final_norm", "lm_head" (-> [B, S, V]). In DECODE
  /// the positions are fed one after the other, B users at a time (B <= max_users), attention through the KV cache; in
  /// PREFILL sequence by sequence. Overwrites the users' caches. Throws InvalidArgument for an unknown name.
  virtual HostTensor run_module(std::string_view name, const HostTensor& x, Phase phase) = 0;

  /// The names that run_module takes, in the order of the guide: embedding first, layer by layer, lm_head last.
  std::vector<std::string> module_names() const;
};

} // namespace tessera::nn
