#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera::reference {

/// How rotary frequencies are stretched for longer contexts.
struct RotaryScaling {
  enum class Kind { NONE, LINEAR, LLAMA3 };
  Kind kind = Kind::NONE;
  double factor = 1.0;
  double low_freq_factor = 1.0;           // LLAMA3 only
  double high_freq_factor = 4.0;          // LLAMA3 only
  double original_max_positions = 8192.0; // LLAMA3 only
};

enum class NormKind { RMS, LAYER };
/// GELU: the exact form; GELU_TANH: its approximation by tanh.
enum class Activation { SILU, GELU, GELU_TANH };

/// A decoder-only model as the reference understands it: the facts of config.json that change the arithmetic.
struct DecoderDescription {
  std::string model_type;         // "falcon", "llama", "mistral", "qwen2"
  std::int64_t vocabulary = 0;    // V
  std::int64_t hidden = 0;        // E
  std::int64_t layers = 0;        // L
  std::int64_t query_heads = 0;   // Hq
  std::int64_t kv_heads = 0;      // Hkv
  std::int64_t head_dim = 0;      // D
  std::int64_t mlp_hidden = 0;    // F
  std::int64_t max_positions = 0; // longest sequence the model was made for
  NormKind norm = NormKind::RMS;  // LAYER has a bias too
  double norm_eps = 1e-6;
  Activation activation = Activation::SILU;
  bool gated_mlp = true;          // activation(gate) * up; else activation(up) alone
  bool parallel_residual = false; // attention and MLP both read the layer's input; else the MLP reads their sum
  bool mlp_norm = true;           // the MLP has a norm of its own; else it reads the attention's
  bool fused_qkv = false;         // one projection, rows for each KV head: its query heads, its key, its value
  double rope_theta = 10000.0;
  RotaryScaling rotary_scaling;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tied = false;                 // the LM head is the embedding
  std::vector<std::int64_t> windows; // per layer: keys seen, the query's own included; 0: all before it
};

/// Reads a config.json in either spelling. `where` names the file in error texts. The defaults of absent keys are those
/// of transformers' FalconConfig, LlamaConfig, MistralConfig and Qwen2Config. Throws InvalidArgument for impossible
/// values, Unsupported for a family, rotary scaling or activation that the reference does not know.
DecoderDescription describe_decoder(const nlohmann::json& config, const std::string& where);

/// Rotary frequencies theta^(-2i/D), i = 0 .. D/2-1, stretched by the model's scaling; fp32 as transformers has them.
std::vector<float> inverse_frequencies(const DecoderDescription& model);

} // namespace tessera::reference
