#include "tessera/bringup/export/handoff_readme.hpp"

#include <fmt/format.h>

namespace tessera::bringup {
namespace {

constexpr std::string_view kText = R"(# Hand-off to a card: {checkpoint}

Written by `tessera export` for TT-NN's tt_transformers (tt-metal, `models/tt_transformers`). All expected values are
those of {reference}, not of any card. `export.json` lists the files.

## decoder_config.json

The precision `{precision}` for every decoder layer: the formats of its tensor groups and the fidelity of its op groups,
by the names of `TensorGroup`, `PrecisionSetting`, `OpGroup` and `MathFidelitySetting` in `tt/model_config.py`, which
`parse_decoder_json` reads. Either give it to a demo or test,

    pytest models/tt_transformers/demo/simple_text_demo.py --decoder_config_file decoder_config.json ...

or put it into the model's folder of `model_params/` as `accuracy_decoder_config.json` or
`performance_decoder_config.json`, where those modes look for it.
{left_out}
## {refpt}

The reference file of the token accuracy test, as `tests/generate_reference_outputs.py` writes it: a `torch.save` of
`reference_tokens` (int64 [1, {tokens}]) and `top5_tokens` (int64 [{tokens}, 5], row i what the reference holds likeliest
after token i, the likeliest first), on {text}. Put it into `models/tt_transformers/tests/reference_outputs/`; its name
must be the model's there. The test prefills the first {split} tokens, feeds the rest one by one, and counts how often
the device's token is the first of the five, and how often one of them.

    tokens = torch.load("{refpt}")["reference_tokens"]

## modules/

One safetensors file for each module, float32 (the embedding's inputs: int64 token ids).

| tensor | shape | for |
| --- | --- | --- |
| `prefill_input`, `prefill_output` | [1, positions, width] | the module's prefill test, in place of its random input and of `ref_output` |
| `decode_input`, `decode_output` | [steps, users, 1, width] | its decode test: step i is fed at position i, to all users |

Attention, MLP and LM head get what the norm before them puts out, without the residual; a whole layer gets the residual
stream and gives it back. `rope` is the turned query heads, in Hugging Face's half-split order of each head.

    from safetensors.torch import load_file
    golden = load_file("modules/layers.0.mlp.safetensors")
    pt_input, reference_output = golden["prefill_input"], golden["prefill_output"]

| file | test in `models/tt_transformers/tests/` |
| --- | --- |
)";

void replace(std::string& text, const std::string& key, const std::string& value) {
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + value.size()))
    text.replace(at, key.size(), value);
}

} // namespace

std::string test_of_module(const std::string& module) {
  if (module == "embedding") return "test_embedding.py";
  if (module == "lm_head") return "test_lm_head.py";
  if (module.ends_with("norm")) return "test_rms_norm.py";
  if (module.ends_with(".attention")) return "test_attention.py, test_attention_prefill.py";
  if (module.ends_with(".mlp")) return "test_mlp.py";
  if (module.ends_with(".rope")) return "none of its own: part of the attention";
  return "test_decoder.py, test_decoder_prefill.py";
}

std::string handoff_readme(const nlohmann::json& manifest) {
  std::string text(kText);
  std::string left_out;
  if (!manifest.at("left_out").empty()) {
    left_out = "\nWhat those names cannot say of this precision:\n\n";
    for (const auto& sentence : manifest.at("left_out")) left_out += "- " + sentence.get<std::string>() + ".\n";
  }
  const nlohmann::json& tokens = manifest.at("reference_tokens");
  for (const char* key : {"checkpoint", "reference", "precision", "text"})
    replace(text, fmt::format("{{{}}}", key), manifest.at(key).get<std::string>());
  replace(text, "{left_out}", left_out);
  replace(text, "{refpt}", tokens.at("file").get<std::string>());
  replace(text, "{tokens}", std::to_string(tokens.at("tokens").get<std::int64_t>()));
  replace(text, "{split}", std::to_string(tokens.at("split").get<std::int64_t>()));
  for (const auto& module : manifest.at("modules")) {
    text += fmt::format("| `{}` | {} |\n", module.at("file").get<std::string>(), module.at("test").get<std::string>());
  }
  return text;
}

} // namespace tessera::bringup
