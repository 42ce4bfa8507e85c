// Every family on the device against the reference, which reads config.json by itself; published sizes and names.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/family.hpp"
#include "tessera/models/load.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::models {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Ids = std::vector<std::int32_t>;

/// A tiny model of a family: what its config.json holds beside the sizes, which are in the common names.
struct Tiny {
  const char* name;
  json config;
};
void PrintTo(const Tiny& tiny, std::ostream* out) {
  *out << tiny.name;
}

json config_of(const char* architecture, const json& changes = json::object()) {
  json config{{"architectures", {architecture}},
              {"hidden_size", 40},
              {"intermediate_size", 52},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 4},
              {"num_key_value_heads", 2},
              {"head_dim", 8},
              {"vocab_size", 70},
              {"max_position_embeddings", 64}};
  config.update(changes);
  return config;
}

json gpt2_config(const json& changes = json::object()) {
  json config{{"architectures", {"GPT2LMHeadModel"}},
              {"n_embd", 40},
              {"n_layer", 2},
              {"n_head", 4},
              {"n_positions", 50},
              {"vocab_size", 70}};
  config.update(changes);
  return config;
}

json alibi_config(const json& changes) {
  json config = test::tiny_falcon_config(changes);
  config["alibi"] = true;
  return config;
}

json longrope(double first) {
  return {{"type", "longrope"}, {"short_factor", {1.0, 1.05, 1.2}}, {"long_factor", {first, 3.0, 11.0}}};
}

const std::vector<Tiny> kModels = {
    {"Qwen3", config_of("Qwen3ForCausalLM")},
    {"Qwen3WithBiasesAndWindows",
     config_of(
         "Qwen3ForCausalLM",
         {{"attention_bias", true}, {"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}})},
    {"Qwen3Yarn", config_of("Qwen3ForCausalLM", {{"rope_theta", 10000.0},
                                                 {"rope_scaling",
                                                  {{"rope_type", "yarn"},
                                                   {"factor", 4.0},
                                                   {"original_max_position_embeddings", 32},
                                                   {"attn_factor", 0.8782488562869419}}}})},
    {"LlamaYarnWithItsOwnBlend", config_of("LlamaForCausalLM", {{"rope_scaling",
                                                                 {{"rope_type", "yarn"},
                                                                  {"factor", 8.0},
                                                                  {"beta_fast", 4.0},
                                                                  {"beta_slow", 0.25},
                                                                  {"truncate", false},
                                                                  {"mscale", 1.5},
                                                                  {"mscale_all_dim", 0.75}}}})},
    {"Phi3", config_of("Phi3ForCausalLM", {{"sliding_window", 7}})},
    // As in Phi-4-mini: three quarters of a head turn, and the embedding is the LM head.
    {"Phi4Mini", config_of("Phi3ForCausalLM", {{"partial_rotary_factor", 0.75},
                                               {"tie_word_embeddings", true},
                                               {"original_max_position_embeddings", 32},
                                               {"rope_scaling", longrope(2.0)}})},
    {"Phi4MiniWithinTheOriginalContext", config_of("Phi3ForCausalLM", {{"partial_rotary_factor", 0.75},
                                                                       {"original_max_position_embeddings", 48},
                                                                       {"rope_scaling", longrope(2.0)}})},
    {"Gemma", config_of("GemmaForCausalLM", {{"hidden_act", "gelu"}})},
    {"Gemma2", config_of("Gemma2ForCausalLM", {{"query_pre_attn_scalar", 20},
                                               {"sliding_window", 6},
                                               {"attn_logit_softcapping", 2.0},
                                               {"final_logit_softcapping", 4.0}})},
    {"Gemma2WithoutCaps",
     config_of("Gemma2ForCausalLM", {{"attn_logit_softcapping", nullptr}, {"final_logit_softcapping", nullptr}})},
    {"Xverse", config_of("XverseForCausalLM", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}})},
    {"InternLm", config_of("InternLMForCausalLM")}, // with biases, as its configuration class has it
    {"LlamaByItsModelTypeAlone",
     config_of("LlamaForCausalLM", {{"architectures", json::array()}, {"model_type", "llama"}})},
    {"InternLm3", config_of("InternLM3ForCausalLM", {{"bias", true}, {"qkv_bias", false}})},
    // The 40B's layout under its first name and in the first spelling of its keys.
    {"RefinedWeb",
     {{"architectures", {"RWForCausalLM"}},
      {"model_type", "RefinedWeb"},
      {"hidden_size", 48},
      {"n_layer", 2},
      {"n_head", 6},
      {"n_head_kv", 2},
      {"vocab_size", 70}}},
    {"Mixtral", config_of("MixtralForCausalLM", {{"num_local_experts", 5}, {"sliding_window", 9}})},
    {"MixtralOfThree", config_of("MixtralForCausalLM", {{"num_experts_per_tok", 3}})},
    {"Gpt2", gpt2_config()},
    {"Gpt2WithOtherScales", gpt2_config({{"n_inner", 52},
                                         {"scale_attn_by_inverse_layer_idx", true},
                                         {"tie_word_embeddings", false},
                                         {"activation_function", "gelu"}})},
    {"FalconRw", alibi_config({{"multi_query", false}, {"parallel_attn", false}, {"bias", true}})},
    {"FalconAlibiWithThreeHeads", alibi_config({{"num_attention_heads", 3}, {"hidden_size", 24}})},
};

/// Random weights under the names that the device's mapping asks for: matrices that keep the size of what they
/// multiply, norms about what they are stored as.
void write_checkpoint(const test::TemporaryFolder& folder, const json& config) {
  folder.write("config.json", config.dump());
  const auto bare = checkpoint::Checkpoint::open_config((folder.path() / "config.json").string());
  const bool stored_less_one = config.at("architectures").dump().starts_with("[\"Gemma");
  std::mt19937 generator{11};
  test::TinyWeights weights;
  for (const nn::TensorExpectation& tensor : expected_tensors(bare)) {
    if (tensor.optional && !tensor.name.ends_with(".bias")) continue;
    if (tensor.buffer) continue;
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
    const bool matrix = tensor.shape.size() == 2;
    const bool gain = !matrix && tensor.name.ends_with(".weight");
    std::normal_distribution<float> normal(gain && !stored_less_one ? 1.0F : 0.0F, matrix ? 0.16F : 0.3F);
    test::TinyWeight& weight = weights[tensor.name];
    weight.shape = tensor.shape;
    for (std::size_t i = 0; i < count; ++i) weight.values.push_back(normal(generator));
  }
  test::write_tiny_checkpoint(folder, config, weights);
}

const Ids kText = [] {
  Ids ids;
  for (std::int32_t i = 0; i < 45; ++i) ids.push_back((i * i * 7 + 3 * i + 5) % 49);
  return ids;
}();

class EveryFamily : public testing::TestWithParam<Tiny> {
 protected:
  void SetUp() override {
    if (!reference::available()) GTEST_SKIP() << "built without libtorch";
    write_checkpoint(folder_, GetParam().config);
    checkpoint_.emplace(checkpoint::Checkpoint::open(folder_.path().string()));
    reference_ = reference::open(*checkpoint_);
    expected_ = reference_->prefill(0, kText, nn::LogitsRows::ALL, nullptr);
  }

  /// Prefill, decode from the first token, and decode that goes on behind a prefill.
  void expect_reference(nn::CausalLM& model) const {
    const auto logits = model.prefill(0, kText, nn::LogitsRows::ALL, nullptr);
    EXPECT_LE(metrics::max_abs_error(expected_.data, logits.data), kTolerance);
    for (const std::size_t prefilled : {0U, 20U}) {
      model.begin_sequence(0, std::ssize(kText));
      if (prefilled > 0) model.prefill(0, std::span(kText).first(prefilled), nn::LogitsRows::LAST, nullptr);
      for (std::size_t i = prefilled; i < kText.size(); ++i) {
        const auto position = static_cast<std::int32_t>(i);
        const auto row = model.decode(std::span(kText).subspan(i, 1), std::span(&position, 1), nullptr);
        ASSERT_LE(metrics::max_abs_error(expected_.row(position), row.data), kTolerance) << "position " << i;
      }
    }
  }

  // fp32 in another order: logits of about 3 over sums of some 50 terms, two layers deep.
  static constexpr double kTolerance = 1e-4;
  test::TemporaryFolder folder_;
  std::optional<checkpoint::Checkpoint> checkpoint_;
  std::unique_ptr<nn::CausalLM> reference_;
  tensor::HostTensor expected_;
};
INSTANTIATE_TEST_SUITE_P(Models, EveryFamily, testing::ValuesIn(kModels),
                         [](const auto& test) { return test.param.name; });

TEST_P(EveryFamily, GivesTheReferencesLogits) {
  const auto device = runtime::MeshDevice::open();
  const auto model = load(device, *checkpoint_, {.precision = "full"});
  expect_reference(*model);
  expect_reference(*reference_); // its decode against its prefill
}

/// Its biases are rounded to bfloat16, and so are positions, which shows from 257 on.
TEST(Alibi, OfFarPositionsIsTheReferences) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const test::TemporaryFolder folder;
  write_checkpoint(
      folder,
      alibi_config(
          {{"num_attention_heads", 6}, {"hidden_size", 48}, {"multi_query", false}, {"max_position_embeddings", 512}}));
  const auto checkpoint = checkpoint::Checkpoint::open(folder.path().string());
  Ids ids;
  for (std::int32_t i = 0; i < 400; ++i) ids.push_back((i * i * 7 + 3 * i + 5) % 49);
  const auto expected = reference::open(checkpoint)->prefill(0, ids, nn::LogitsRows::ALL, nullptr);
  const auto model = load(runtime::MeshDevice::open(), checkpoint, {.precision = "full"});
  EXPECT_LE(metrics::max_abs_error(expected.data, model->prefill(0, ids, nn::LogitsRows::ALL, nullptr).data), 1e-4);
}

/// Files of a model without its LM head, such as GPT-2's own, name tensors without the first part.
TEST_P(EveryFamily, ReadsFilesThatLeaveOutTheFirstPartOfNames) {
  test::TinyWeights bare;
  for (const std::string& name : checkpoint_->tensor_names()) {
    const checkpoint::TensorView& view = checkpoint_->tensor(name);
    std::vector<float> values(view.data.size() / sizeof(float));
    checkpoint::copy_as_float(view, 0, values);
    bare[name.starts_with("lm_head") ? name : name.substr(name.find('.') + 1)] = {view.shape, std::move(values)};
  }
  const test::TemporaryFolder folder;
  test::write_tiny_checkpoint(folder, GetParam().config, bare);
  const auto checkpoint = checkpoint::Checkpoint::open(folder.path().string());
  const auto model = load(runtime::MeshDevice::open(), checkpoint, {.precision = "full"});
  EXPECT_LE(metrics::max_abs_error(expected_.data, model->prefill(0, kText, nn::LogitsRows::ALL, nullptr).data),
            kTolerance);
  EXPECT_EQ(reference::open(checkpoint)->prefill(0, kText, nn::LogitsRows::ALL, nullptr).data, expected_.data);
}

TEST_P(EveryFamily, GivesTheReferencesLogitsOnSeveralChips) {
  if (std::string_view(GetParam().name).ends_with("ThreeHeads")) GTEST_SKIP() << "two chips cannot share three heads";
  BoardSpec pair = board("n300");
  expect_reference(*load(runtime::MeshDevice::open({.board = pair}), *checkpoint_, {.precision = "full"}));
  pair.mesh_rows = pair.mesh_columns = 2;
  expect_reference(*load(runtime::MeshDevice::open({.board = pair}), *checkpoint_,
                         {.precision = "full", .scheme = nn::TensorParallelScheme::GRID}));
}

TEST_P(EveryFamily, GivesTheModulesOfTheReference) {
  const auto device = runtime::MeshDevice::open();
  const auto model = load(device, *checkpoint_, {.precision = "full"});
  ASSERT_EQ(model->module_names(), reference_->module_names());
  for (const std::string& name : model->module_names()) {
    const std::int64_t width = name.ends_with(".rope") ? model->info().attention_width : model->info().hidden_size;
    tensor::HostTensor x{name == "embedding" ? Shape{2, 37} : Shape{2, 37, width}, {}};
    for (std::int64_t i = 0; i < x.shape.volume(); ++i)
      x.data.push_back(name == "embedding" ? static_cast<float>(i * 5 % 49) : std::sin(0.37F * static_cast<float>(i)));
    const auto expected = reference_->run_module(name, x, nn::Phase::PREFILL);
    for (const nn::Phase phase : {nn::Phase::PREFILL, nn::Phase::DECODE}) {
      EXPECT_LE(metrics::max_abs_error(expected.data, model->run_module(name, x, phase).data), kTolerance) << name;
    }
  }
}

TEST_P(EveryFamily, AnAccuratePrecisionComesClose) {
  const auto model = load(runtime::MeshDevice::open(), *checkpoint_, {.precision = "accuracy"});
  const auto logits = model->prefill(0, kText, nn::LogitsRows::ALL, nullptr);
  EXPECT_GE(metrics::pcc(expected_.data, logits.data), 0.99);
}

nn::DecoderConfig published(const std::string& file) {
  return configure(checkpoint::Checkpoint::open_config(fmt::format("{}/configs/{}.json", TESSERA_SOURCE_DIR, file)));
}

TEST(PublishedConfigurations, GiveTheNumbersOfParametersThatTheirPublishersCount) {
  const std::vector<std::pair<const char*, std::int64_t>> counts{
      {"qwen3-0.6b", 596'049'920},
      {"qwen3-8b", 8'190'735'360},
      {"phi-3-mini-4k-instruct", 3'821'079'552},
      {"phi-4", 14'659'507'200},
      {"gemma-2b", 2'506'172'416},
      {"gemma-7b", 8'537'680'896},
      {"gemma-2-2b", 2'614'341'888},
      {"gemma-2-9b", 9'241'705'984},
      {"gemma-2-27b", 27'227'128'320},
      {"mixtral-8x7b-v0.1", 46'702'792'704},
  };
  for (const auto& [file, count] : counts) EXPECT_EQ(published(file).parameters(), count) << file;
}

nn::DecoderConfig defaults_of(const char* architecture) {
  const test::TemporaryFolder folder;
  folder.write("config.json", json{{"architectures", {architecture}}}.dump());
  return configure(checkpoint::Checkpoint::open_config((folder.path() / "config.json").string()));
}

// The models that transformers' configuration classes stand for when they are given nothing.
TEST(AbsentKeys, HaveTheDefaultsOfTheOriginal) {
  EXPECT_EQ(defaults_of("GPT2LMHeadModel").parameters(), 124'439'808);
  EXPECT_EQ(defaults_of("Phi3ForCausalLM").parameters(), 3'821'079'552);
  EXPECT_EQ(defaults_of("GemmaForCausalLM").parameters(), 8'537'680'896);
  EXPECT_EQ(defaults_of("Gemma2ForCausalLM").parameters(), 2'614'341'888);
  EXPECT_EQ(defaults_of("LlamaForCausalLM").parameters(), 6'738'415'616);
  const nn::DecoderConfig gemma2 = defaults_of("Gemma2ForCausalLM");
  EXPECT_EQ(gemma2.attention_scale, 1.0 / 16);
  EXPECT_EQ(gemma2.attention_softcap, 50.0);
  EXPECT_EQ(gemma2.logit_softcap, 30.0);
  EXPECT_EQ(gemma2.sliding_window[0], 4096);
  EXPECT_EQ(gemma2.sliding_window[1], 0);
  EXPECT_EQ(gemma2.norm_epsilon, 1e-6);
  const nn::DecoderConfig qwen3 = defaults_of("Qwen3ForCausalLM");
  EXPECT_EQ(qwen3.head_dim, 128);
  EXPECT_EQ(qwen3.kv_heads, 32);
  EXPECT_EQ(qwen3.max_positions, 32768);
  const nn::DecoderConfig mistral = defaults_of("MistralForCausalLM");
  EXPECT_EQ(mistral.sliding_window[31], 4096);
  EXPECT_EQ(mistral.kv_heads, 8);
  EXPECT_EQ(defaults_of("Phi3ForCausalLM").norm_epsilon, 1e-5);
  const nn::DecoderConfig mixtral = defaults_of("MixtralForCausalLM");
  EXPECT_EQ(mixtral.parameters(), 46'702'792'704);
  EXPECT_EQ(mixtral.rope.theta, 1e6);
  EXPECT_EQ(mixtral.experts.per_token, 2);
  EXPECT_EQ(mixtral.sliding_window[0], 0);
}

/// What changes when a tiny model's config.json is written by transformers 5.
TEST(NewerSpelling, MeansTheSame) {
  const auto configured = [](const json& config) {
    const test::TemporaryFolder folder;
    folder.write("config.json", config.dump());
    return configure(checkpoint::Checkpoint::open_config((folder.path() / "config.json").string()));
  };
  json newer = config_of("Phi3ForCausalLM");
  newer["dtype"] = "float32";
  newer["rope_parameters"] = longrope(2.0);
  newer["rope_parameters"].update(json{{"rope_type", "longrope"},
                                       {"rope_theta", 5e5},
                                       {"partial_rotary_factor", 0.75},
                                       {"original_max_position_embeddings", 32}});
  newer["rope_parameters"].erase("type");
  const nn::DecoderConfig decoder = configured(newer);
  EXPECT_EQ(decoder.rope.theta, 5e5);
  EXPECT_EQ(decoder.rope.rotary_dim, 6);
  ASSERT_TRUE(decoder.rope.longrope);
  EXPECT_EQ(decoder.rope.longrope->original_max_positions, 32);
  EXPECT_EQ(decoder.rope.longrope->long_factor, (std::vector{2.0, 3.0, 11.0}));
  // A stretch from 32 to 64 positions: sqrt(1 + log 2 / log 32).
  EXPECT_DOUBLE_EQ(decoder.rope.attention_factor, std::sqrt(1.2));
  EXPECT_EQ(decoder.stored_dtype, DataType::FLOAT32);
  json windows = config_of("Gemma2ForCausalLM", {{"sliding_window", 6}});
  windows["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_EQ(configured(windows).sliding_window, (std::vector<std::int64_t>{0, 6}));
}

std::set<std::string> names_of(const json& config, const std::string& part) {
  const test::TemporaryFolder folder;
  folder.write("config.json", config.dump());
  std::set<std::string> names;
  for (const nn::TensorExpectation& tensor :
       expected_tensors(checkpoint::Checkpoint::open_config((folder.path() / "config.json").string()))) {
    if (!tensor.buffer && tensor.name.find(part) != std::string::npos) names.insert(tensor.name);
  }
  return names;
}

// As they stand in published files.
TEST(TensorNames, AreThoseOfPublishedFiles) {
  using Names = std::set<std::string>;
  EXPECT_EQ(names_of(config_of("Qwen3ForCausalLM"), "layers.1.self_attn"),
            (Names{"model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight",
                   "model.layers.1.self_attn.v_proj.weight", "model.layers.1.self_attn.o_proj.weight",
                   "model.layers.1.self_attn.q_norm.weight", "model.layers.1.self_attn.k_norm.weight"}));
  EXPECT_EQ(names_of(config_of("Phi3ForCausalLM"), "layers.0."),
            (Names{"model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.qkv_proj.weight",
                   "model.layers.0.self_attn.o_proj.weight", "model.layers.0.post_attention_layernorm.weight",
                   "model.layers.0.mlp.gate_up_proj.weight", "model.layers.0.mlp.down_proj.weight"}));
  EXPECT_EQ(names_of(config_of("Gemma2ForCausalLM"), "layers.0."),
            (Names{"model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj.weight",
                   "model.layers.0.self_attn.k_proj.weight", "model.layers.0.self_attn.v_proj.weight",
                   "model.layers.0.self_attn.o_proj.weight", "model.layers.0.post_attention_layernorm.weight",
                   "model.layers.0.pre_feedforward_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
                   "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
                   "model.layers.0.post_feedforward_layernorm.weight"}));
  EXPECT_EQ(
      names_of(config_of("MixtralForCausalLM", {{"num_local_experts", 2}}), "layers.1.block"),
      (Names{
          "model.layers.1.block_sparse_moe.gate.weight", "model.layers.1.block_sparse_moe.experts.0.w1.weight",
          "model.layers.1.block_sparse_moe.experts.0.w2.weight", "model.layers.1.block_sparse_moe.experts.0.w3.weight",
          "model.layers.1.block_sparse_moe.experts.1.w1.weight", "model.layers.1.block_sparse_moe.experts.1.w2.weight",
          "model.layers.1.block_sparse_moe.experts.1.w3.weight"}));
  EXPECT_EQ(names_of(gpt2_config(), "h.1."),
            (Names{"transformer.h.1.ln_1.weight", "transformer.h.1.ln_1.bias", "transformer.h.1.attn.c_attn.weight",
                   "transformer.h.1.attn.c_attn.bias", "transformer.h.1.attn.c_proj.weight",
                   "transformer.h.1.attn.c_proj.bias", "transformer.h.1.ln_2.weight", "transformer.h.1.ln_2.bias",
                   "transformer.h.1.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.bias",
                   "transformer.h.1.mlp.c_proj.weight", "transformer.h.1.mlp.c_proj.bias"}));
  EXPECT_TRUE(names_of(gpt2_config(), "transformer.w") == (Names{"transformer.wte.weight", "transformer.wpe.weight"}));
}

TEST(Configurations, RefuseWhatIsImpossibleOrNotBuilt) {
  const auto configuring = [](const json& config) {
    return [config] {
      const test::TemporaryFolder folder;
      folder.write("config.json", config.dump());
      configure(checkpoint::Checkpoint::open_config((folder.path() / "config.json").string()));
    };
  };
  EXPECT_THAT(configuring(config_of("LlamaForCausalLM", {{"partial_rotary_factor", 0.5}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("partial_rotary_factor must be 1 in the family llama")));
  EXPECT_THAT(configuring(config_of("Phi3ForCausalLM", {{"partial_rotary_factor", 0.4}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("an even part of the 8 values of a head")));
  EXPECT_THAT(configuring(config_of("Phi3ForCausalLM", {{"rope_scaling", longrope(2.0)}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("short_factor must be a list of 4 numbers")));
  EXPECT_THAT(configuring(config_of("Qwen3ForCausalLM", {{"rope_scaling", {{"type", "ntk"}, {"factor", 2}}}})),
              ThrowsMessage<base::Unsupported>(HasSubstr("received \"ntk\"")));
  EXPECT_THAT(configuring(config_of("GemmaForCausalLM", {{"use_bidirectional_attention", true}})),
              ThrowsMessage<base::Unsupported>(HasSubstr("use_bidirectional_attention")));
  EXPECT_THAT(configuring(config_of("Gemma2ForCausalLM", {{"attn_logit_softcapping", -1.0}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("attn_logit_softcapping")));
  EXPECT_THAT(configuring(config_of("MixtralForCausalLM", {{"num_local_experts", 2}, {"num_experts_per_tok", 3}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("num_experts_per_tok must be at most num_local_experts")));
  EXPECT_THAT(configuring(gpt2_config({{"n_head", 7}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("n_embd must be a multiple of n_head (7)")));
  EXPECT_THAT(configuring(gpt2_config({{"hidden_size", 48}})),
              ThrowsMessage<base::InvalidArgument>(HasSubstr("n_embd must be 48, as hidden_size says")));
  EXPECT_THAT(configuring(gpt2_config({{"activation_function", "relu"}})),
              ThrowsMessage<base::Unsupported>(HasSubstr("received \"relu\"")));
  EXPECT_THAT(configuring(gpt2_config({{"add_cross_attention", true}})),
              ThrowsMessage<base::Unsupported>(HasSubstr("add_cross_attention")));
}

} // namespace
} // namespace tessera::models
