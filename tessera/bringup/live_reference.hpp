#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tessera/bringup/reference.hpp"
#include "tessera/bringup/result_cache.hpp"

namespace tessera::bringup {

struct LiveReferenceOptions {
  std::string description = "libtorch, fp32";
  std::int64_t module_users = 4; ///< B of a module's input
  std::int64_t module_positions =
      40; ///< S: more than a tile and than a page of the KV cache, and no multiple of either
  std::uint64_t seed = 1;
};

/// A reference that runs here, behind a cache. It is opened when something is needed that the cache lacks, and not at
/// all when a run finds everything there.
///
/// Modules get random activations with the spread that they see in the model: normal, scaled to the root mean square of
/// that point of the residual stream on `texts`; attention, MLP and LM head get what the norm before them makes of its
/// own input.
class LiveReference : public Reference {
 public:
  using Open = std::function<std::unique_ptr<nn::CausalLM>()>;

  /// `cache` must belong to this checkpoint. `texts` must not be empty.
  LiveReference(Open open, ResultCache cache, std::vector<Ids> texts, LiveReferenceOptions options = {});

  std::string description() const override { return options_.description; }
  std::optional<nn::CausalLMInfo> info() override;
  const ModuleCase* module_case(const std::string& module) override;
  const ReferenceOutput* sequence(const Ids& ids) override;
  std::optional<Ids> continuation(const Ids& prompt, std::int64_t tokens) override;

 private:
  nn::CausalLM& model();
  tensor::HostTensor module_input(const std::string& module, const nn::CausalLMInfo& info);
  tensor::HostTensor random_ids(const nn::CausalLMInfo& info);
  /// Root mean square of `hidden_states.<index>` over the first text.
  double spread(std::int64_t index);

  Open open_;
  ResultCache cache_;
  std::vector<Ids> texts_;
  LiveReferenceOptions options_;
  std::unique_ptr<nn::CausalLM> model_; // null until needed
  std::map<std::string, ModuleCase> module_cases_;
  std::map<Ids, ReferenceOutput> sequences_;
};

} // namespace tessera::bringup
