#pragma once

#include <string>
#include <string_view>

#include "tessera/bringup/report.hpp"

namespace tessera::bringup {

/// The next thing to try for a failing row, from what its figures say: values that are not finite, a right direction of
/// the wrong size, a wrong result, or one that merely lacks precision (the debug recipe of TT-NN's LLM report: smallest
/// failing test, then more precision, then the weights, then the reference). Empty for a passing row.
std::string advice_for(const Row& row, std::string_view precision);

/// What helps a module that L1 is too small for; empty for others.
std::string advice_for_l1(const Row& row);

/// What to look at in a module whose result is wrong: its weights' mapping and its usual mistakes.
std::string suspects_of(std::string_view module);

} // namespace tessera::bringup
