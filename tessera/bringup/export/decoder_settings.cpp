#include "tessera/bringup/export/decoder_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "tessera/base/error.hpp"

namespace tessera::bringup {
namespace {

/// MathFidelitySetting's name and ours.
struct FidelityName {
  const char* theirs;
  const char* ours;
};
constexpr std::array kFidelities = {FidelityName{"LOFI", "lofi"},
                                    FidelityName{"HIFI2", "hifi2"},
                                    FidelityName{"HIFI2_NA", "hifi2na"},
                                    FidelityName{"HIFI2_FP16", "hifi2fp16"},
                                    FidelityName{"HIFI2_NOL1ACC", "hifi2nol1acc"},
                                    FidelityName{"HIFI4", "hifi4"},
                                    FidelityName{"HIFI4_FP32", "hifi4fp32"}};

std::string precision_setting(DataType dtype, const std::string& group) {
  switch (dtype) {
    case DataType::BFLOAT16:
      return "BF16";
    case DataType::BFLOAT8_B:
      return "BFP8";
    case DataType::BFLOAT4_B:
      return "BFP4";
    default:
      throw base::Unsupported(
          fmt::format("[export] tt_transformers has BF16, BFP8 and BFP4 for weights and the KV cache; {} is {}; choose "
                      "another --precision",
                      group, to_string(dtype)));
  }
}

/// Writes one decoder's settings, and notes what cannot be said.
class DecoderWriter {
 public:
  explicit DecoderWriter(std::set<std::string>& left_out) : left_out_(left_out) {}

  nlohmann::json write(const nn::LayerPrecision& layer) {
    nlohmann::json formats{{"FF1_FF3", precision_setting(layer.ff1_3, "ff1_3")},
                           {"FF2", precision_setting(layer.ff2, "ff2")},
                           {"WQKV", precision_setting(layer.wqkv, "wqkv")},
                           {"WO", precision_setting(layer.wo, "wo")},
                           {"KV_CACHE", precision_setting(layer.kv_cache, "kv_cache")}};
    const nlohmann::json fidelities{{"LI_FF1_FF3", both("LI_FF1_FF3", layer.li_ff1_3, layer.ff1_3)},
                                    {"LI_FF2", both("LI_FF2", layer.li_ff2, layer.ff2)},
                                    {"LI_QKV_DECODE", fidelity("LI_QKV_DECODE", layer.li_qkv.decode, layer.wqkv)},
                                    {"LI_QKV_PREFILL", fidelity("LI_QKV_PREFILL", layer.li_qkv.prefill, layer.wqkv)},
                                    {"LI_O_DECODE", fidelity("LI_O_DECODE", layer.li_o.decode, layer.wo)},
                                    {"LI_O_PREFILL", fidelity("LI_O_PREFILL", layer.li_o.prefill, layer.wo)},
                                    {"SDPA_DECODE", fidelity("SDPA_DECODE", layer.sdpa.decode, layer.kv_cache)},
                                    {"SDPA_PREFILL", fidelity("SDPA_PREFILL", layer.sdpa.prefill, DataType::BFLOAT16)}};
    return {{"precision_cfg", std::move(formats)}, {"fidelity_cfg", fidelities}};
  }

 private:
  std::string fidelity(const std::string& group, const std::optional<ComputeConfig>& chosen, DataType weights) {
    const ComputeConfig config = chosen.value_or(default_compute_config(weights));
    for (const FidelityName& name : kFidelities) {
      if (named_compute_config(name.ours) == config) return name.theirs;
    }
    // Without a name of its own: that of the same fidelity whose sums are the widest.
    const bool wide = config.math_fidelity == MathFidelity::HiFi4 || config.math_fidelity == MathFidelity::HiFi3;
    const char* nearest = config.math_fidelity == MathFidelity::LoFi ? "LOFI" : wide ? "HIFI4" : "HIFI2";
    if (chosen) {
      left_out_.insert(fmt::format("{}: {} with these settings of Dst and L1 has no name there; {} stands for it",
                                   group, to_string(config.math_fidelity), nearest));
    }
    return nearest;
  }
  /// Of a group that has one setting for both phases.
  std::string both(const std::string& group, const nn::ComputeByPhase& phases, DataType weights) {
    std::string decode = fidelity(group, phases.decode, weights);
    if (fidelity(group, phases.prefill, weights) != decode) {
      left_out_.insert(
          fmt::format("{}: one setting holds for prefill and decode there; it is decode's, {}", group, decode));
    }
    return decode;
  }

  std::set<std::string>& left_out_;
};

} // namespace

DecoderSettings decoder_settings(const nn::Precision& precision, std::int64_t layers) {
  base::require<base::Unsupported>(!precision.weights_as_stored,
                                   "[export] tt_transformers names a format for each tensor group; the preset full has "
                                   "the checkpoint's; choose another --precision");
  std::set<std::string> left_out;
  DecoderWriter writer(left_out);
  nlohmann::json decoders = nlohmann::json::object();
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    nlohmann::json& decoder = decoders[std::to_string(layer)] = writer.write(precision.of_layer(layer));
    // BFLOAT16 is what an absent ACTIVATION means.
    if (precision.activation == DataType::BFLOAT8_B) decoder["precision_cfg"]["ACTIVATION"] = "BFP8";
  }
  if (precision.activation != DataType::BFLOAT16 && precision.activation != DataType::BFLOAT8_B) {
    left_out.insert(
        fmt::format("activations: {} cannot be said there; they will be BFLOAT16", to_string(precision.activation)));
  }
  const auto note = [&](const char* what, DataType dtype, DataType usual) {
    if (dtype != usual)
      left_out.insert(
          fmt::format("{}: {} is not a setting there; look at the model's own code", what, to_string(dtype)));
  };
  note("lm_head", precision.lm_head, DataType::BFLOAT8_B);
  note("norm", precision.norm, DataType::BFLOAT16);
  note("embedding", precision.embedding, DataType::BFLOAT16);
  return {.json = {{"decoders", std::move(decoders)}}, .left_out = {left_out.begin(), left_out.end()}};
}

} // namespace tessera::bringup
