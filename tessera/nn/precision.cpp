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
// tt_transformers keeps the MLP of models this large in BFLOAT4_B even for accuracy.
constexpr std::int64_t kLargeModelParameters = 60'000'000'000;

LayerPrecision uniform(DataType weights, DataType kv_cache) {
  return {weights, weights, weights, weights, kv_cache};
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
  return precision;
}

/// BFLOAT8_B with the gate and up projections in BFLOAT4_B.
Precision performance() {
  Precision precision = uniform_model("performance", DataType::BFLOAT8_B);
  precision.layer.kv_cache = DataType::BFLOAT8_B;
  precision.layer.ff1_3 = DataType::BFLOAT4_B;
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
      base::require(set_layer_format(layer, key, value),
                    "[precision] a layer's keys are wqkv, wo, ff1_3, ff2, kv_cache; received \"{}\"", key);
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
    base::require(set_layer_format(precision.layer, key, value) || set_model_format(precision, key, value),
                  "[precision] the keys are base, layers, wqkv, wo, ff1_3, ff2, kv_cache, embedding, norm, lm_head, "
                  "activation; received \"{}\"",
                  key);
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
