#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tessera::checkpoint {

/// Parses JSON from an untrusted file. Throws IoError, in one line and naming `where`, for bad syntax or UTF-8, for
/// arrays and objects nested deeper than 64, and for an object that has one key twice.
nlohmann::json parse_json(std::string_view text, std::string_view where);

/// `text` made fit for a one-line message: control and non-ASCII bytes become '?', and it is cut at `max_length`.
std::string printable(std::string_view text, std::size_t max_length = 80);

/// A JSON value for a message: compact, printable, cut.
std::string printable_json(const nlohmann::json& value);

} // namespace tessera::checkpoint
