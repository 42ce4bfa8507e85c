#include "tessera/bringup/run_file.hpp"

#include <cmath>

#include "tessera/base/file.hpp"

namespace tessera::bringup::run_file {

nlohmann::json number(double value) {
  if (std::isfinite(value)) return value;
  return fmt::format("{}", value);
}

double number_of(const nlohmann::json& value) {
  return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
}

void write(const std::filesystem::path& path, const std::string& key, nlohmann::json content) {
  content["key"] = key;
  base::write_file_atomically(path, content.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

} // namespace tessera::bringup::run_file
