#include "tessera/base/error.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

using nlohmann::json;

bool is_absent(const json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null();
}

/// Sets `target[key]`, which another spelling calls `other`, unless it is there with another value.
void set_agreeing(json& target, const std::string& key, const json& value, const std::string& other,
                  const std::string& where) {
  if (value.is_null()) return;
  if (is_absent(target, key)) {
    target[key] = value;
    return;
  }
  base::require(target[key] == value, "[config] {} and {} must agree; received {} and {}; correct them in {}", key,
                other, printable_json(target[key]), printable_json(value), where);
}

/// The old key `type` becomes `rope_type`; nothing is left of a scaling that scales nothing.
json normalized_rope_scaling(json scaling, const std::string& where) {
  if (!scaling.is_object()) return scaling;
  if (scaling.contains("type")) {
    const json type = scaling["type"];
    scaling.erase("type");
    set_agreeing(scaling, "rope_type", type, "type", where);
  }
  const bool scales_nothing =
      scaling.empty() || (scaling.size() == 1 && scaling.value("rope_type", json()) == "default");
  return scales_nothing ? json() : scaling;
}

void move_rope_parameters(json& config, const std::string& where) {
  json parameters = config["rope_parameters"];
  config.erase("rope_parameters");
  base::require(parameters.is_object(), "[config] rope_parameters must be an object; received {}; correct it in {}",
                printable_json(parameters), where);
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    base::require<base::Unsupported>(is_absent(parameters, kind),
                                     "[config] rope_parameters must be the same for all layers; {} has its own for {}; "
                                     "such models are not supported",
                                     where, kind);
  }
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    if (!parameters.contains(key)) continue;
    set_agreeing(config, key, parameters[key], std::string("rope_parameters.") + key, where);
    parameters.erase(key);
  }
  set_agreeing(config, "rope_scaling", normalized_rope_scaling(parameters, where), "rope_parameters", where);
}

} // namespace

nlohmann::json normalized_config(const json& config, const std::string& where) {
  base::require(config.is_object(), "[config] {} must hold a JSON object; received {}; correct the file", where,
                printable_json(config));
  json normalized = config;
  if (normalized.contains("dtype")) {
    const json dtype = normalized["dtype"];
    normalized.erase("dtype");
    set_agreeing(normalized, "torch_dtype", dtype, "dtype", where);
  }
  if (normalized.contains("rope_scaling")) {
    normalized["rope_scaling"] = normalized_rope_scaling(normalized["rope_scaling"], where);
  }
  if (is_absent(normalized, "rope_parameters")) {
    normalized.erase("rope_parameters");
  } else {
    move_rope_parameters(normalized, where);
  }
  if (is_absent(normalized, "rope_scaling")) normalized.erase("rope_scaling");
  return normalized;
}

} // namespace tessera::checkpoint
