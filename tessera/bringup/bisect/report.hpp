#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tessera/bringup/bisect/bisect.hpp"

namespace tessera::bringup::bisect {

/// For people: errors of the modules, the ranking, and the sentence at the end. Of many modules those with the largest
/// local errors.
std::string to_table(const Result& result);

/// Everything that was measured.
nlohmann::json to_json(const Result& result);

/// A picture of local beside accumulated errors, module by module, as an SVG of its own.
std::string to_svg(const Result& result);

} // namespace tessera::bringup::bisect
