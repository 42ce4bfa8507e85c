#include "tessera/reference/reference.hpp"

#include "tessera/base/error.hpp"

// Takes the reference's place in a build without libtorch.
namespace tessera::reference {

bool available() {
  return false;
}

std::unique_ptr<nn::CausalLM> open(const checkpoint::Checkpoint&, const ReferenceOptions&) {
  throw base::Unsupported(
      "[reference] the reference needs libtorch; Tessera was built without it; install libtorch-dev and "
      "libopenblas0-pthread and build again, or give a baseline with --reference");
}

} // namespace tessera::reference
