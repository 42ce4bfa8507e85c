#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/image/image.hpp"

namespace tessera::train {

/// What a picture shows, in the order of the classes.
const std::vector<std::string>& shape_names();

/// A square picture of one shape, of `side` pixels: random colours, place, size, turn and squeeze, with stray lines and
/// noise over it. The same picture for the same arguments. REQUIRES: 0 <= shape < shape_names().size().
image::Image draw_shape(std::int64_t shape, std::int64_t side, std::uint64_t number);

} // namespace tessera::train
