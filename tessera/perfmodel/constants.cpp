#include "tessera/perfmodel/constants.hpp"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/perfmodel/constant_fields.hpp"
#include "tessera/perfmodel/embedded_constants.hpp"

namespace tessera::perfmodel {
namespace {

using nlohmann::json;

const json& member(const json& object, const std::string& path, const std::string& name) {
  base::require<base::IoError>(object.is_object() && object.contains(name),
                               "[perfmodel constants] {}.{} is required; it is missing", path, name);
  return object.at(name);
}

/// Fills a struct from {"name": {"value": 1.0, "source": "..."}, ...}; every constant names its source.
template <typename Struct>
Struct read_fields(const json& object, const std::string& path, const json& sources) {
  Struct result;
  for (const auto& [name, field] : fields_of<Struct>()) {
    const json& entry = member(object, path, std::string(name));
    const json& value = member(entry, path + "." + std::string(name), "value");
    const json& source = member(entry, path + "." + std::string(name), "source");
    base::require<base::IoError>(value.is_number() && value.get<double>() >= 0 && source.is_string() &&
                                     sources.contains(source.get<std::string>()),
                                 "[perfmodel constants] {}.{} must be a number of at least 0 with one of the sources; "
                                 "received {}",
                                 path, name, entry.dump());
    result.*field = value.get<double>();
  }
  base::require<base::IoError>(object.size() == fields_of<Struct>().size(),
                               "[perfmodel constants] {} must have the {} known constants; received {}", path,
                               fields_of<Struct>().size(), object.size());
  return result;
}

template <typename Struct>
std::map<std::string, Struct, std::less<>> read_table(const json& root, const std::string& name) {
  std::map<std::string, Struct, std::less<>> result;
  for (const auto& [key, value] : member(root, "", name).items())
    result.emplace(key, read_fields<Struct>(value, name + "." + key, root.at("sources")));
  return result;
}

template <typename Map>
std::vector<std::string> names_of(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

} // namespace

Constants read_constants(std::string_view text) {
  const json root = json::parse(text, nullptr, false);
  base::require<base::IoError>(root.is_object(), "[perfmodel constants] a JSON object is required; received {} bytes",
                               text.size());
  const json& sources = member(root, "", "sources");
  return {.release = member(root, "", "release").get<std::string>(),
          .chips = read_table<ChipConstants>(root, "chips"),
          .streams = read_table<StreamConstants>(root, "streams"),
          .collectives = read_table<CollectiveConstants>(root, "collectives"),
          .host = read_fields<HostConstants>(member(root, "", "host"), "host", sources),
          .errors = read_fields<ErrorBars>(member(root, "", "errors"), "errors", sources)};
}

const Constants& constants() {
  static const Constants embedded = read_constants(kEmbeddedConstants);
  return embedded;
}

const ChipConstants& Constants::of(const ArchSpec& arch) const {
  const auto found = chips.find(arch.name);
  base::require<base::Unsupported>(found != chips.end(),
                                   "[perfmodel] an architecture with measurements is required: {}; received \"{}\"",
                                   fmt::join(names_of(chips), ", "), arch.name);
  return found->second;
}

const StreamConstants& Constants::stream(std::string_view kind) const {
  const auto found = streams.find(kind);
  base::require<base::IoError>(found != streams.end(), "[perfmodel constants] streams.{} is required; it is missing",
                               kind);
  return found->second;
}

} // namespace tessera::perfmodel
