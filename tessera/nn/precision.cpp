#include "tessera/nn/precision.hpp"

#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::nn {
namespace {

constexpr std::array kPresets = {"full", "bf16", "bfp8", "bfp4", "accuracy", "performance"};
constexpr std::string_view kOpGroups =
    "li_qkv, li_o, li_ff1_3, li_ff2, sdpa (each also with _prefill or _decode behind it)";
// tt_transformers keeps the MLP of models this large in BFLOAT4_B even for accuracy.
constexpr std::int64_t kLargeModelParameters = 60'000'000'000;

LayerPrecision uniform(DataType weights, DataType kv_cache) {
  return {.wqkv = weights, .wo = weights, .ff1_3 = weights, .ff2 = weights, .kv_cache = kv_cache};
}

/// tt_transformers' defaults: HiFi2, in the MLP with a 16-bit Dst, and HiFi4 for the attention of prompts.
void set_default_compute(LayerPrecision& layer) {
  const auto both = [](std::string_view name) {
    return ComputeByPhase{named_compute_config(name), named_compute_config(name)};
  };
  layer.li_qkv = layer.li_o = both(layer.wqkv == DataType::BFLOAT16 ? "hifi4" : "hifi2");
  layer.li_ff1_3 = both(layer.ff1_3 == DataType::BFLOAT4_B ? "lofi" : "hifi2fp16");
  layer.li_ff2 = both("hifi2fp16");
  layer.sdpa = {.prefill = named_compute_config("hifi4"), .decode = named_compute_config("hifi2")};
}

/// All matmul weights in one format.
Precision uniform_model(std::string name, DataType weights) {
  return {.name = std::move(name), .layer = uniform(weights, DataType::BFLOAT16), .lm_head = weights};
}

Precision full() {
  return {.name = "full",
          .layer = uniform(DataType::FLOAT32, DataType::FLOAT32),
          .embedding = DataType::FLOAT32,
          .norm = DataType::FLOAT32,
          .lm_head = DataType::FLOAT32,
          .activation = DataType::FLOAT32,
          .weights_as_stored = true};
}

/// BFLOAT8_B weights; families other than these keep attention in BFLOAT16. The KV cache stays in BFLOAT16, where
/// tt_transformers has BFLOAT8_B: with that, single attention modules of small heads fall below a PCC of 0.999.
Precision accuracy(const PrecisionSubject& subject) {
  Precision precision = uniform_model("accuracy", DataType::BFLOAT8_B);
  if (subject.family != "llama" && subject.family != "mistral" && subject.family != "phi3") {
    precision.layer.wqkv = precision.layer.wo = DataType::BFLOAT16;
  }
  if (subject.parameters >= kLargeModelParameters) precision.layer.ff1_3 = DataType::BFLOAT4_B;
  set_default_compute(precision.layer);
  return precision;
}

/// BFLOAT8_B with the gate and up projections in BFLOAT4_B.
Precision performance() {
  Precision precision = uniform_model("performance", DataType::BFLOAT8_B);
  precision.layer.kv_cache = DataType::BFLOAT8_B;
  precision.layer.ff1_3 = DataType::BFLOAT4_B;
  set_default_compute(precision.layer);
  return precision;
}

Precision preset(const std::string& name, const PrecisionSubject& subject) {
  if (name == "full") return full();
  if (name == "bf16") return uniform_model(name, DataType::BFLOAT16);
  if (name == "bfp8") return uniform_model(name, DataType::BFLOAT8_B);
  if (name == "bfp4") return uniform_model(name, DataType::BFLOAT4_B);
  if (name == "accuracy") return accuracy(subject);
  if (name == "performance") return performance();
  throw base::InvalidArgument(fmt::format("[precision] one of {} or a .json file is required; received \"{}\"",
                                          fmt::join(kPresets, ", "), name));
}

DataType format_of(const nlohmann::json& value, const std::string& key) {
  base::require(value.is_string(), "[precision] {} must be a format such as \"bfp8\"; received {}", key, value.dump());
  const DataType dtype = parse_data_type(value.get<std::string>());
  base::require(!is_integer(dtype), "[precision] {} must be a floating-point format; received {}", key, value.dump());
  return dtype;
}

/// Sets the field that `key` names; false when there is none.
bool set_layer_format(LayerPrecision& layer, const std::string& key, const nlohmann::json& value) {
  static const std::map<std::string, DataType LayerPrecision::*> fields = {{"wqkv", &LayerPrecision::wqkv},
                                                                           {"wo", &LayerPrecision::wo},
                                                                           {"ff1_3", &LayerPrecision::ff1_3},
                                                                           {"ff2", &LayerPrecision::ff2},
                                                                           {"kv_cache", &LayerPrecision::kv_cache}};
  const auto field = fields.find(key);
  if (field == fields.end()) return false;
  layer.*field->second = format_of(value, key);
  return true;
}

ComputeConfig compute_of(const nlohmann::json& value, const std::string& key) {
  if (value.is_string()) return named_compute_config(value.get<std::string>());
  base::require(value.is_object(), "[precision] {} must be a name such as \"hifi2\", or an object; received {}", key,
                value.dump());
  ComputeConfig config;
  for (const auto& [member, setting] : value.items()) {
    static const std::map<std::string, bool ComputeConfig::*> flags = {
        {"math_approx_mode", &ComputeConfig::math_approx_mode},
        {"fp32_dest_acc_en", &ComputeConfig::fp32_dest_acc_en},
        {"packer_l1_acc", &ComputeConfig::packer_l1_acc}};
    if (member == "math_fidelity" && setting.is_string()) {
      config.math_fidelity = parse_math_fidelity(setting.get<std::string>());
      continue;
    }
    const auto flag = flags.find(member);
    base::require(flag != flags.end() && setting.is_boolean(),
                  "[precision] {} takes math_fidelity (\"LoFi\" to \"HiFi4\") and math_approx_mode, fp32_dest_acc_en, "
                  "packer_l1_acc (true or false); received \"{}\": {}",
                  key, member, setting.dump());
    config.*flag->second = setting.get<bool>();
  }
  return config;
}

/// Sets the op group that `key` names, of one phase or (li_ff1_3, li_ff2) of both; false when there is none.
bool set_layer_compute(LayerPrecision& layer, const std::string& key, const nlohmann::json& value) {
  static const std::map<std::string, ComputeByPhase LayerPrecision::*> groups = {
      {"li_qkv", &LayerPrecision::li_qkv},
      {"li_o", &LayerPrecision::li_o},
      {"li_ff1_3", &LayerPrecision::li_ff1_3},
      {"li_ff2", &LayerPrecision::li_ff2},
      {"sdpa", &LayerPrecision::sdpa}};
  const auto without = [&key](std::string_view suffix) { return key.substr(0, key.size() - suffix.size()); };
  const bool prefill = key.ends_with("_prefill");
  const bool decode = key.ends_with("_decode");
  const auto group = groups.find(prefill ? without("_prefill") : decode ? without("_decode") : key);
  if (group == groups.end()) return false;
  const ComputeConfig config = compute_of(value, key);
  ComputeByPhase& phases = layer.*group->second;
  if (!decode) phases.prefill = config;
  if (!prefill) phases.decode = config;
  return true;
}

bool set_model_format(Precision& precision, const std::string& key, const nlohmann::json& value) {
  static const std::map<std::string, DataType Precision::*> fields = {{"embedding", &Precision::embedding},
                                                                      {"norm", &Precision::norm},
                                                                      {"lm_head", &Precision::lm_head},
                                                                      {"activation", &Precision::activation}};
  const auto field = fields.find(key);
  if (field == fields.end()) return false;
  const DataType dtype = format_of(value, key);
  base::require(key != "embedding" || !is_block_float(dtype),
                "[precision] embedding must be f32 or bf16, since its rows are looked up; received {}", value.dump());
  precision.*field->second = dtype;
  return true;
}

void set_layers(Precision& precision, const nlohmann::json& layers, std::int64_t count) {
  base::require(layers.is_object(), "[precision] layers must be an object of layer numbers; received {}",
                layers.dump());
  for (const auto& [number_text, formats] : layers.items()) {
    std::int64_t number = -1;
    const char* const end = number_text.data() + number_text.size();
    const auto parsed = std::from_chars(number_text.data(), end, number);
    base::require(parsed.ec == std::errc() && parsed.ptr == end && 0 <= number && number < count && formats.is_object(),
                  "[precision] layers must map numbers in 0..{} to objects; received \"{}\": {}", count - 1,
                  number_text, formats.dump());
    LayerPrecision& layer = precision.layers.emplace(number, precision.layer).first->second;
    for (const auto& [key, value] : formats.items()) {
      base::require(set_layer_format(layer, key, value) || set_layer_compute(layer, key, value),
                    "[precision] a layer's keys are wqkv, wo, ff1_3, ff2, kv_cache, {}; received \"{}\"", kOpGroups,
                    key);
    }
  }
}

Precision from_file(const std::string& path, const PrecisionSubject& subject) {
  const nlohmann::json json = nlohmann::json::parse(base::read_file(path, 1 << 20), nullptr, false);
  base::require<base::IoError>(json.is_object(), "[precision] {} must hold a JSON object; it does not", path);
  const nlohmann::json base_name = json.value("base", nlohmann::json("accuracy"));
  base::require(base_name.is_string(), "[precision] base must be the name of a preset; received {}", base_name.dump());
  Precision precision = preset(base_name.get<std::string>(), subject);
  precision.name = path;
  base::require(!precision.weights_as_stored,
                "[precision] base must not be full, whose weight formats are the checkpoint's; name formats instead");
  for (const auto& [key, value] : json.items()) {
    if (key == "base" || key == "layers") continue;
    base::require(set_layer_format(precision.layer, key, value) || set_layer_compute(precision.layer, key, value) ||
                      set_model_format(precision, key, value),
                  "[precision] the keys are base, layers, wqkv, wo, ff1_3, ff2, kv_cache, embedding, norm, lm_head, "
                  "activation, {}; received \"{}\"",
                  kOpGroups, key);
  }
  if (json.contains("layers")) set_layers(precision, json["layers"], subject.layers);
  return precision;
}

} // namespace

const LayerPrecision& Precision::of_layer(std::int64_t number) const {
  const auto found = layers.find(number);
  return found == layers.end() ? layer : found->second;
}

Precision make_precision(const std::string& preset_or_file, const PrecisionSubject& subject) {
  return preset_or_file.ends_with(".json") ? from_file(preset_or_file, subject) : preset(preset_or_file, subject);
}

} // namespace tessera::nn
