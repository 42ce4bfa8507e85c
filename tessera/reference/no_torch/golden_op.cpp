#include "tessera/reference/ops/golden_op.hpp"

#include "tessera/base/error.hpp"

// Takes the golden functions' place in a build without libtorch.
namespace tessera::reference {

bool has_golden(std::string_view) {
  return false;
}

bool is_collective(std::string_view) {
  return false;
}

std::vector<std::string_view> golden_ops() {
  return {};
}

std::vector<GoldenOutput> golden(const GoldenRequest& request) {
  throw base::Unsupported(fmt::format(
      "[golden] golden functions of ops need libtorch, and Tessera was built without it; received {}; install "
      "libtorch-dev and libopenblas0-pthread and build again",
      request.record.name));
}

} // namespace tessera::reference
