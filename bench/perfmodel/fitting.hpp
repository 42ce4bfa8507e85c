#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tessera/perfmodel/constants.hpp"

namespace tessera::bench {

/// A constant that a fit may change.
struct Variable {
  std::string name;
  double perfmodel::ChipConstants::*chip = nullptr; ///< of `arch`
  std::string arch;
  double perfmodel::HostConstants::*host = nullptr;
  double perfmodel::StreamConstants::*stream = nullptr; ///< of the kind `arch`

  double& in(perfmodel::Constants& constants) const;
};

/// Constants of an architecture by their names in constants.json; "host.step_ns" names one of the host's.
std::vector<Variable> variables(const std::string& arch, const std::vector<std::string>& names);

/// The cycles of each kind of streaming op.
std::vector<Variable> stream_variables(const perfmodel::Constants& constants);

/// Coordinate descent on the logarithms of the variables, which must be positive: steps that help are kept, others
/// shrink. Returns the constants with the least loss found.
perfmodel::Constants fit(perfmodel::Constants constants, const std::vector<Variable>& variables, int rounds,
                         const std::function<double(const perfmodel::Constants&)>& loss);

} // namespace tessera::bench
