#include "tessera/tokenizer/metaspace.hpp"

#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {

Metaspace::Metaspace(const JsonNode& node) : split(node["split"].boolean_or(true)) {
  append_utf8(replacement, node["replacement"].character());
  const bool add_prefix_space = node["add_prefix_space"].boolean_or(true);
  const JsonNode scheme = node["prepend_scheme"];
  if (scheme.is_null()) {
    prepend = add_prefix_space ? Prepend::ALWAYS : Prepend::NEVER;
    return;
  }
  const std::string& name = scheme.string();
  if (name == "always") {
    prepend = Prepend::ALWAYS;
  } else if (name == "first") {
    prepend = Prepend::FIRST;
  } else if (name == "never") {
    prepend = Prepend::NEVER;
  } else {
    scheme.fail("one of always, first, never");
  }
  if (!add_prefix_space && prepend != Prepend::NEVER) scheme.fail("never where add_prefix_space is false");
}

} // namespace tessera::tokenizer
