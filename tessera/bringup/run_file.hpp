#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tessera/base/error.hpp"

/// JSON files of a run's folder beside bringup.json. Each has the key of the report that it belongs to.
namespace tessera::bringup::run_file {

/// A number for JSON, which has no inf and nan: those become text. `number_of` is the inverse.
nlohmann::json number(double value);
double number_of(const nlohmann::json& value);

/// Writes `content` with the report's key, compactly. Text that is no UTF-8 is replaced. Throws IoError.
void write(const std::filesystem::path& path, const std::string& key, nlohmann::json content);

/// What `read` makes of the content of file `name`. Throws InvalidArgument naming it when the content is no such thing.
template <typename Read>
auto converted(std::string_view name, Read&& read) {
  try {
    return std::forward<Read>(read)();
  } catch (const std::exception& error) {
    throw base::InvalidArgument(
        fmt::format("[report] {} must be one that bringup wrote; received JSON with: {}", name, error.what()));
  }
}

} // namespace tessera::bringup::run_file
