#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// One line of a table of component types: the `type` in the file and what builds it.
template <typename Component>
struct KnownType {
  std::string_view name;
  std::unique_ptr<Component> (*make)(const JsonNode& node);
};

/// Builds the component that `node["type"]` names. Throws Unsupported, naming the type and the known ones.
template <typename Component, std::size_t N>
std::unique_ptr<Component> make_component(const KnownType<Component> (&known)[N], const JsonNode& node) {
  const std::string& type = node["type"].string();
  std::string names;
  for (const KnownType<Component>& entry : known) {
    if (entry.name == type) return entry.make(node);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name);
  }
  throw base::Unsupported(
      fmt::format("[tokenizer] {} must be one of the known types, {}; received {}; this tokenizer "
                  "needs a component that is not built",
                  node["type"].path(), names, quote(type)));
}

} // namespace tessera::tokenizer
