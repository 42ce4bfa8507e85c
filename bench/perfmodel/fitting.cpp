#include "bench/perfmodel/fitting.hpp"

#include "tessera/base/error.hpp"
#include "tessera/perfmodel/constant_fields.hpp"

namespace tessera::bench {

using perfmodel::ChipConstants;
using perfmodel::Constants;
using perfmodel::HostConstants;

double& Variable::in(Constants& constants) const {
  if (stream != nullptr) return constants.streams.at(arch).*stream;
  return chip != nullptr ? constants.chips.at(arch).*chip : constants.host.*host;
}

std::vector<Variable> variables(const std::string& arch, const std::vector<std::string>& names) {
  std::vector<Variable> result;
  for (const std::string& name : names) {
    Variable variable{.name = name, .arch = arch};
    for (const auto& [known, member] : perfmodel::fields_of<ChipConstants>()) {
      if (name == known) variable.chip = member;
    }
    for (const auto& [known, member] : perfmodel::fields_of<HostConstants>()) {
      if (name == "host." + std::string(known)) variable.host = member;
    }
    base::require(variable.chip != nullptr || variable.host != nullptr,
                  "[fit] a constant of constants.json is required; received \"{}\"", name);
    result.push_back(variable);
  }
  return result;
}

std::vector<Variable> stream_variables(const Constants& constants) {
  std::vector<Variable> result;
  for (const auto& [kind, value] : constants.streams) {
    for (const auto member :
         {&perfmodel::StreamConstants::dram_tile_cycles, &perfmodel::StreamConstants::l1_tile_cycles})
      result.push_back({.name = kind, .arch = kind, .stream = member});
  }
  return result;
}

Constants fit(Constants constants, const std::vector<Variable>& variables, int rounds,
              const std::function<double(const Constants&)>& loss) {
  double least = loss(constants);
  std::vector<double> steps(variables.size(), 0.2);
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < variables.size(); ++i) {
      double& value = variables[i].in(constants);
      const double before = value;
      bool better = false;
      for (const double factor : {1 + steps[i], 1 / (1 + steps[i])}) {
        value = before * factor;
        const double now = loss(constants);
        better = now < least - 1e-9;
        if (better) {
          least = now;
          break;
        }
      }
      if (better) continue;
      value = before;
      steps[i] *= 0.65;
    }
  }
  return constants;
}

} // namespace tessera::bench
