#include "tessera/reference/reference.hpp"

#include "tessera/base/error.hpp"

// Takes the reference's place in a build without libtorch.
namespace tessera::reference {

bool available() {
  return false;
}

namespace {

[[noreturn]] void refuse() {
  throw base::Unsupported(
      "[reference] the reference needs libtorch; Tessera was built without it; install libtorch-dev and "
      "libopenblas0-pthread and build again, or give a baseline with --reference");
}

} // namespace

std::unique_ptr<nn::CausalLM> open(const checkpoint::Checkpoint&, const ReferenceOptions&) {
  refuse();
}

std::unique_ptr<nn::Classifier> open_classifier(const checkpoint::Checkpoint&, int) {
  refuse();
}

} // namespace tessera::reference
