#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::checkpoint {

/// The `count` candidates with the smallest edit distance to `name`, nearest first, equal ones in their given order:
/// "did you mean ..." in error texts.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                       std::size_t count = 3);

} // namespace tessera::checkpoint
