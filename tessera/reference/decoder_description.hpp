#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera::reference {

/// How rotary frequencies are stretched for longer contexts.
struct RotaryScaling {
  enum class Kind { NONE, LINEAR, LLAMA3, YARN, LONG };
  Kind kind = Kind::NONE;
  double factor = 1.0;
  double low_freq_factor = 1.0;           // LLAMA3 only
  double high_freq_factor = 4.0;          // LLAMA3 only
  double original_max_positions = 8192.0; // LLAMA3, YARN and LONG
  double beta_fast = 32.0;                // YARN only: pairs of more turns stay
  double beta_slow = 1.0;                 // YARN only: pairs of fewer turns are stretched in full
  bool whole_pairs = true;                // YARN only: the blend begins and ends at whole pairs
  std::vector<double> short_factors;      // LONG only: of each frequency, up to original_max_positions
  std::vector<double> long_factors;       // LONG only: beyond
  double attention_factor = 1.0;          // of cosines and sines
};

enum class NormKind { RMS, LAYER };
/// GELU: the exact form; GELU_TANH: its approximation by tanh.
enum class Activation { SILU, GELU, GELU_TANH };
/// ROTARY turns heads, TABLE adds a learned row to the embedding, ALIBI adds to scores.
enum class Positions { ROTARY, TABLE, ALIBI };
/// Of the attention's projections in the file. STACKED: one, all queries, all keys, all values. GROUPED: one, rows for
/// each KV head: its query heads, its key, its value.
enum class Projections { SEPARATE, STACKED, GROUPED };

/// A decoder-only model as the reference understands it: the facts of config.json that change the arithmetic.
struct DecoderDescription {
  std::string model_type;         // "falcon", "gemma", "llama", ...
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
  bool norm_plus_one = false; // norms multiply by 1 + weight
  bool head_norms = false;    // RMS norms of each query and key head before they are turned
  bool output_norms = false;  // norms of what attention and MLP add to the residual stream
  Activation activation = Activation::SILU;
  bool gated_mlp = true;    // activation(gate) * up; else activation(up) alone
  bool fused_gate = false;  // gate and up are one projection, the gate's rows first
  std::int64_t experts = 0; // MLPs of which each token takes a few; 0: one that all take
  std::int64_t experts_per_token = 0;
  bool parallel_residual = false; // attention and MLP both read the layer's input; else the MLP reads their sum
  bool mlp_norm = true;           // the MLP has a norm of its own; else it reads the attention's
  Projections projections = Projections::SEPARATE;
  bool transposed = false; // the layers' linear weights are stored [in, out]
  Positions positions = Positions::ROTARY;
  double rope_theta = 10000.0;
  std::int64_t rotary_dim = 0; // the first so many of a head's values turn
  RotaryScaling rotary_scaling;
  double score_scale = 0.0;    // of q·k; 0: 1 / sqrt(D)
  bool scale_by_layer = false; // layer i's scale, counted from 1, is divided by i
  double score_cap = 0.0;      // scores s become cap·tanh(s / cap); 0: they stay
  double logit_cap = 0.0;      // logits likewise
  double embedding_scale = 1.0;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tied = false;                 // the LM head is the embedding
  bool bare_names = false;           // the file's names lack the first part, "model." or "transformer."
  std::vector<std::int64_t> windows; // per layer: keys seen, the query's own included; 0: all before it
};

/// Reads a config.json in either spelling. `where` names the file in error texts. The defaults of absent keys are those
/// of the families' configuration classes in transformers. Throws InvalidArgument for impossible
/// values, Unsupported for a family, rotary scaling or activation that the reference does not know.
DecoderDescription describe_decoder(const nlohmann::json& config, const std::string& where);

/// Rotary frequencies theta^(-2i/R), i = 0 .. R/2-1, stretched by the model's scaling for a sequence of `length`
/// positions in all; fp32 as transformers has them.
std::vector<float> inverse_frequencies(const DecoderDescription& model, std::int64_t length = 1);

} // namespace tessera::reference
