#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/reference/family_description.hpp"

namespace tessera::reference {

void describe_gpt2(const checkpoint::ConfigReader& config, const nlohmann::json& /*json*/, DecoderDescription& model) {
  // GPT2Config takes the common names as aliases of its own.
  const auto read = [&](const char* own, const char* common, std::int64_t fallback, std::int64_t most) {
    return config.integer_or(own, config.integer_or(common, fallback, {1, most}), {1, most});
  };
  model.vocabulary = config.integer_or("vocab_size", 50257, {1});
  model.max_positions = read("n_positions", "max_position_embeddings", 1024, 1 << 30);
  model.hidden = read("n_embd", "hidden_size", 768, kMostElements);
  model.layers = read("n_layer", "num_hidden_layers", 12, 1 << 16);
  model.query_heads = model.kv_heads = read("n_head", "num_attention_heads", 12, kMostHeads);
  if (model.hidden % model.query_heads != 0) {
    config.reject("n_head", fmt::format("a divisor of n_embd ({})", model.hidden));
  }
  model.head_dim = model.hidden / model.query_heads;
  model.mlp_hidden = config.integer_or("n_inner", 4 * model.hidden, {1, kMostElements}); // null: four times E
  model.norm = NormKind::LAYER;
  model.norm_eps = config.number_or("layer_norm_epsilon", 1e-5, {0.0, 1.0});
  model.activation = named_activation(config, "activation_function", "gelu_new");
  model.gated_mlp = false;
  model.projections = Projections::STACKED;
  model.transposed = true; // Conv1D
  model.positions = Positions::TABLE;
  if (!config.boolean_or("scale_attn_weights", true)) model.score_scale = 1.0;
  model.scale_by_layer = config.boolean_or("scale_attn_by_inverse_layer_idx", false);
  model.qkv_bias = model.output_bias = model.mlp_bias = true;
  model.tied = config.boolean_or("tie_word_embeddings", true);
  model.windows.assign(static_cast<std::size_t>(model.layers), 0);
  base::require<base::Unsupported>(!config.boolean_or("add_cross_attention", false),
                                   "[reference] add_cross_attention must be false; received true; give a baseline from "
                                   "elsewhere with --reference");
}

} // namespace tessera::reference
