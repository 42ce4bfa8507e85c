#include "tessera/reference/reference.hpp"

#include "tessera/reference/reference_model.hpp"
#include "tessera/reference/threads.hpp"

namespace tessera::reference {

bool available() {
  return true;
}

std::unique_ptr<nn::CausalLM> open(const checkpoint::Checkpoint& checkpoint, const ReferenceOptions& options) {
  set_torch_threads(options.threads);
  return std::make_unique<ReferenceModel>(checkpoint, options);
}

} // namespace tessera::reference
