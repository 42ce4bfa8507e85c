#pragma once

#include <cstdint>
#include <string>

#include "tessera/profile/profile.hpp"

namespace tessera::profile {

/// A part of a profile's time.
struct Window {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

/// What a picture shows unless told otherwise: the last three replays or, where nothing is replayed, the last 20 ms.
Window last_part(const Profile& profile);

/// The tracks in a window as a picture, SVG: slices coloured by op with a legend, what ran nothing left empty, a time
/// axis. It follows the reader's choice of light or dark. Throws InvalidArgument for an empty window.
std::string to_svg(const Profile& profile, Window window);

} // namespace tessera::profile
