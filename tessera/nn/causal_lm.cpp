#include "tessera/nn/causal_lm.hpp"

#include <fmt/format.h>

namespace tessera::nn {

std::unique_ptr<TokenLoop> CausalLM::token_loop(std::int64_t users) {
  return std::make_unique<HostTokenLoop>(*this, users);
}

std::vector<std::string> CausalLM::module_names() const {
  std::vector<std::string> names{"embedding"};
  for (std::int64_t layer = 0; layer < info().layers; ++layer) {
    for (const char* part : {".input_norm", ".rope", ".attention", ".post_attention_norm", ".mlp", ""}) {
      if (!info().mlp_norm && std::string_view(part) == ".post_attention_norm") continue;
      names.push_back(fmt::format("layers.{}{}", layer, part));
    }
  }
  names.insert(names.end(), {"final_norm", "lm_head"});
  return names;
}

} // namespace tessera::nn
