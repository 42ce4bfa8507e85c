#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/nn/causal_lm.hpp"

namespace tessera::bringup {

using Ids = std::vector<std::int32_t>;

/// What the stages run on.
struct Material {
  std::vector<Ids> texts;   ///< real text, cut into sequences; each is judged from its first position on
  std::vector<Ids> prompts; ///< to be continued

  /// Length of the longest sequence of either kind.
  std::int64_t longest() const;
};

/// Cuts a text's ids into sequences of at most `length`, `max_ids` ids in all. A last piece of one id is dropped:
/// nothing follows it that could be judged.
std::vector<Ids> cut_text(const Ids& ids, std::int64_t length, std::int64_t max_ids);

/// A module's input and what the reference makes of it: [B, S, width], or [B, S] ids for the embedding.
struct ModuleCase {
  tensor::HostTensor input;
  tensor::HostTensor expected;
};

/// The reference's results for one sequence of S ids.
struct ReferenceOutput {
  tensor::HostTensor logits;      ///< [n, V]: of the last n positions, 1 <= n <= S
  nn::HiddenStates hidden_states; ///< layers + 1 tensors [S, E], or none when they are not known

  /// Position of the first row of `logits` in a sequence of `length` ids.
  std::int64_t first_position(std::size_t length) const { return static_cast<std::int64_t>(length) - logits.shape[0]; }
};

/// Throws InvalidArgument, "[command] ...", unless all logits [.., V] of a reference are finite: nothing can be
/// compared with others.
void require_finite_logits(const tensor::HostTensor& logits, std::string_view command);

/// Where expected values come from: a model that runs here, or a file made elsewhere. What a source cannot tell
/// is nothing, and the stage that needs it is skipped with the reason.
class Reference {
 public:
  virtual ~Reference() = default;

  /// For the report: "libtorch, fp32", "file golden.safetensors".
  virtual std::string description() const = 0;

  virtual std::optional<nn::CausalLMInfo> info() = 0;
  /// Null when unknown. Valid as long as the reference, as is the next.
  virtual const ModuleCase* module_case(const std::string& module) = 0;
  virtual const ReferenceOutput* sequence(const Ids& ids) = 0;
  /// The greedy continuation of a prompt regardless of stop ids: `tokens` ids, or as many as a file holds. `sequence`
  /// of the prompt with it, less the last id, is known too.
  virtual std::optional<Ids> continuation(const Ids& prompt, std::int64_t tokens) = 0;
};

} // namespace tessera::bringup
