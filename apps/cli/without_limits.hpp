#pragma once

#include "tessera/spec/board_spec.hpp"

namespace tessera::cli {

/// The same chips with room for everything, to learn what a model that does not fit would need.
BoardSpec without_limits(BoardSpec board);

} // namespace tessera::cli
