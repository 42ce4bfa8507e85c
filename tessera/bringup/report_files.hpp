#pragma once

#include <filesystem>

#include "tessera/bringup/report.hpp"

namespace tessera::bringup {

/// bringup.json and bringup.xml (JUnit) in `folder`; nothing when it is empty. Throws IoError.
void write_report(const Report& report, const std::filesystem::path& folder);

} // namespace tessera::bringup
