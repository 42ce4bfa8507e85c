#pragma once

#include <string_view>

namespace tessera::perfmodel {

/// constants.json as it was when this was built.
extern const std::string_view kEmbeddedConstants;

} // namespace tessera::perfmodel
