#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/reference/family_description.hpp"

namespace tessera::reference {
namespace {

using checkpoint::ConfigReader;
using checkpoint::IntegerRange;

/// A key and the name that it had before transformers took the family in; the newer goes first.
struct Spellings {
  const char* newer;
  const char* older;
};

std::int64_t read(const ConfigReader& config, const Spellings& key, std::int64_t fallback, const IntegerRange& range) {
  const auto newer = config.optional_integer(key.newer, range);
  const auto older = config.optional_integer(key.older, range);
  if (newer && older && *newer != *older) {
    config.reject(key.newer, fmt::format("what {} says ({})", key.older, *older));
  }
  return newer.value_or(older.value_or(fallback));
}

} // namespace

void describe_falcon(const ConfigReader& config, const nlohmann::json& /*json*/, DecoderDescription& model) {
  model.vocabulary = config.integer_or("vocab_size", 65024, {1});
  model.hidden = read(config, {"hidden_size", "n_embed"}, 4544, {1, kMostElements});
  model.layers = read(config, {"num_hidden_layers", "n_layer"}, 32, {1, 1 << 16});
  model.query_heads = read(config, {"num_attention_heads", "n_head"}, 71, {1, kMostHeads});
  model.mlp_hidden = config.integer_or("ffn_hidden_size", 4 * model.hidden, {1, kMostElements});
  model.max_positions = config.integer_or("max_position_embeddings", 2048, {1});
  if (model.hidden % (2 * model.query_heads) != 0) {
    config.reject("hidden_size",
                  fmt::format("a multiple of num_attention_heads ({}), each head of even width", model.query_heads));
  }
  model.head_dim = model.hidden / model.query_heads;

  // The new architecture sets multi_query and parallel_attn aside.
  // The 40B before it came to transformers says so by its model_type alone.
  const bool grouped =
      config.boolean_or("new_decoder_architecture", config.string_or("model_type", "") == "RefinedWeb");
  const bool multi_query = config.boolean_or("multi_query", true) && !grouped;
  model.parallel_residual = config.boolean_or("parallel_attn", true) || grouped;
  model.kv_heads = read(config, {"num_kv_heads", "n_head_kv"}, model.query_heads, {1, kMostHeads});
  if (multi_query) model.kv_heads = 1;
  if (!grouped && !multi_query && model.kv_heads != model.query_heads) {
    config.reject("num_kv_heads", "num_attention_heads where neither multi_query nor new_decoder_architecture is true");
  }
  require_head_groups(config, "num_kv_heads", model);
  const std::int64_t parallel_norms = config.integer_or("num_ln_in_parallel_attn", grouped ? 2 : 1, {1, 2});
  model.mlp_norm = !model.parallel_residual || (grouped && parallel_norms == 2);

  model.norm = NormKind::LAYER;
  model.norm_eps = config.number_or("layer_norm_epsilon", 1e-5, {0.0, 1.0});
  model.activation = named_activation(config, "activation", "gelu");
  model.gated_mlp = false;
  // [q.., k, v] of one group, [q.., k, v] of each group, [q, k, v] of each head: all three are groups.
  model.projections = Projections::GROUPED;
  model.qkv_bias = model.output_bias = model.mlp_bias = config.boolean_or("bias", false);
  model.tied = config.boolean_or("tie_word_embeddings", true);
  read_rotary(config, 10000.0, model);
  if (config.boolean_or("alibi", false)) model.positions = Positions::ALIBI;
  model.windows.assign(static_cast<std::size_t>(model.layers), 0);
}

} // namespace tessera::reference
