#include "tessera/nn/causal_lm.hpp"

#include <fmt/format.h>

namespace tessera::nn {

std::unique_ptr<TokenLoop> CausalLM::token_loop(std::int64_t users) {
  return std::make_unique<HostTokenLoop>(*this, users);
}

std::vector<std::string> CausalLM::module_names() const {
  std::vector<std::string> parts{".input_norm"};
  if (info().rope) parts.emplace_back(".rope");
  parts.emplace_back(".attention");
  if (info().output_norms) parts.emplace_back(".attention_output_norm");
  if (info().mlp_norm) parts.emplace_back(".post_attention_norm");
  parts.emplace_back(".mlp");
  if (info().output_norms) parts.emplace_back(".mlp_output_norm");
  parts.emplace_back("");
  std::vector<std::string> names{"embedding"};
  for (std::int64_t layer = 0; layer < info().layers; ++layer) {
    for (const std::string& part : parts) names.push_back(fmt::format("layers.{}{}", layer, part));
  }
  names.insert(names.end(), {"final_norm", "lm_head"});
  return names;
}

} // namespace tessera::nn
