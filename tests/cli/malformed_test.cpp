// Each kind of malformed checkpoint and tokenizer, through the program: one line of error, a fitting exit code, nothing
// on standard output.

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "tessera/base/file.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"
#include "tests/cli/one_line_error.hpp"
#include "tests/reference/tiny_checkpoint.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

/// A small Llama whose parts can be changed and written again.
class SmallCheckpoint {
 public:
  SmallCheckpoint() { write(); }

  void write() const { write_tiny_checkpoint(folder, config, weights); }
  std::string path() const { return folder.path().string(); }
  std::string file(const std::string& name) const { return (folder.path() / name).string(); }

  TemporaryFolder folder;
  json config = tiny_config();
  TinyWeights weights = tiny_weights(config);
};

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// A way to damage a checkpoint, and what becomes of it.
struct Damage {
  const char* name;
  std::function<void(SmallCheckpoint&)> apply;
  int exit_code;
  Words said; ///< parts of the error line
};

void PrintTo(const Damage& damage, std::ostream* stream) {
  *stream << damage.name;
}

std::string name_of(const ::testing::TestParamInfo<Damage>& info) {
  return info.param.name;
}

/// Replaces the weights by a file with this header and `data_bytes` bytes.
std::function<void(SmallCheckpoint&)> header(const std::string& text, std::size_t data_bytes = 0) {
  return [=](SmallCheckpoint& model) {
    model.folder.write(kWeights, safetensors_bytes(text, std::string(data_bytes, '\0')));
  };
}

/// Replaces the weights by these bytes.
std::function<void(SmallCheckpoint&)> weights(const std::string& bytes) {
  return [=](SmallCheckpoint& model) { model.folder.write(kWeights, bytes); };
}

/// Sets a key of config.json; the weights stay those of the old one.
std::function<void(SmallCheckpoint&)> config(const std::string& key, const json& value) {
  return [=](SmallCheckpoint& model) {
    model.config[key] = value;
    model.folder.write("config.json", model.config.dump());
  };
}

std::function<void(SmallCheckpoint&)> file(const std::string& name, const std::string& text) {
  return [=](SmallCheckpoint& model) { model.folder.write(name, text); };
}

/// An index in place of the single file.
std::function<void(SmallCheckpoint&)> index(const std::string& text) {
  return [=](SmallCheckpoint& model) {
    std::filesystem::remove(model.file(kWeights));
    model.folder.write(kIndex, text);
  };
}

void cut_weights(const SmallCheckpoint& model, std::size_t bytes) {
  const std::string all = base::read_file(model.file(kWeights));
  model.folder.write(kWeights, std::string_view(all).substr(0, bytes));
}

void store_as(SmallCheckpoint& model, const std::string& name, checkpoint::StorageType dtype) {
  std::vector<checkpoint::OutputTensor> tensors;
  std::vector<std::byte> zeros;
  for (const auto& [tensor, weight] : model.weights) {
    const bool chosen = tensor == name;
    if (chosen) zeros.resize(*checkpoint::storage_bytes(weight.shape, dtype));
    tensors.push_back({tensor, chosen ? dtype : checkpoint::StorageType::F32, weight.shape,
                       chosen ? std::span<const std::byte>(zeros) : std::as_bytes(std::span(weight.values))});
  }
  checkpoint::write_safetensors(model.file(kWeights), tensors);
}

std::string length_prefix(std::uint64_t length) {
  return {reinterpret_cast<const char*>(&length), sizeof length};
}

const char* const kTensorA = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

const std::vector<Damage> kSafetensors{
    {"EmptyFile", weights(""), 3, {kWeights}},
    {"TruncatedLength", weights("\x10\0\0"), 3, {kWeights}},
    {"TruncatedHeader", [](SmallCheckpoint& model) { cut_weights(model, 100); }, 3, {kWeights}},
    {"TruncatedData",
     [](SmallCheckpoint& model) { cut_weights(model, base::read_file(model.file(kWeights)).size() - 4); },
     3,
     {kWeights}},
    {"HeaderLongerThanTheFile", weights(length_prefix(1000) + "{}"), 3, {kWeights}},
    {"HeaderAboveTheLimit", weights(length_prefix(std::uint64_t{1} << 62) + "{}"), 3, {kWeights}},
    {"HeaderOfTheLargestLength", weights(length_prefix(~std::uint64_t{0}) + "{}"), 3, {kWeights}},
    {"DeeplyNestedHeader", weights(safetensors_bytes(std::string(200'000, '['))), 3, {kWeights}},
    {"DeeplyNestedObjects",
     [](SmallCheckpoint& model) {
       std::string text;
       for (int i = 0; i < 50'000; ++i) text += "{\"a\":";
       model.folder.write(kWeights, safetensors_bytes(text));
     },
     3,
     {kWeights}},
    {"HeaderIsNoObject", header("[]"), 3, {kWeights}},
    {"HeaderIsNotUtf8", header("{\"a\xFF\":1}"), 3, {kWeights}},
    {"TensorTwice", header(std::string("{") + kTensorA + "," + kTensorA + "}", 8), 3, {kWeights}},
    {"OverlappingTensors",
     header(std::string("{") + kTensorA + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
     3,
     {kWeights}},
    {"GapBetweenTensors",
     header(std::string("{") + kTensorA + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})", 16),
     3,
     {kWeights}},
    {"ReversedOffsets", header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), 3, {kWeights}},
    {"OffsetsBeyondTheFile", header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 8), 3, {kWeights}},
    {"OffsetsAgainstTheShape", header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), 3, {kWeights}},
    {"OverflowingShape",
     header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"),
     3,
     {kWeights}},
    {"NegativeShape", header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), 3, {kWeights}},
    {"UnknownDtype", header(R"({"a":{"dtype":"F17","shape":[2],"data_offsets":[0,8]}})", 8), 3, {"F17"}},
    {"BytesOfNoTensor", header(std::string("{") + kTensorA + "}", 9), 3, {kWeights}},
};

const std::vector<Damage> kTensors{
    {"NoTensors", header("{}"), 3, {"model.embed_tokens.weight"}},
    {"MissingTensor",
     [](SmallCheckpoint& model) {
       model.weights.erase("model.layers.1.self_attn.o_proj.weight");
       model.write();
     },
     3,
     {"model.layers.1.self_attn.o_proj.weight"}},
    {"MisshapenTensor",
     [](SmallCheckpoint& model) {
       model.weights.at("model.norm.weight").shape = {12, 2};
       model.write();
     },
     3,
     {"model.norm.weight", "[12, 2]"}},
    {"IntegerWeights",
     [](SmallCheckpoint& model) { store_as(model, "lm_head.weight", checkpoint::StorageType::I32); },
     3,
     {"lm_head.weight", "I32"}},
    {"DoubleWeights",
     [](SmallCheckpoint& model) { store_as(model, "lm_head.weight", checkpoint::StorageType::F64); },
     3,
     {"lm_head.weight", "F64"}},
    {"WeightsOfAnotherConfig", config("num_key_value_heads", 4), 3, {"k_proj", "config.json"}},
    {"MoreLayersThanWeights", config("num_hidden_layers", 3), 3, {"model.layers.2."}},
    {"NoWeights", [](SmallCheckpoint& model) { std::filesystem::remove(model.file(kWeights)); }, 3, {kWeights}},
    {"NoConfig",
     [](SmallCheckpoint& model) { std::filesystem::remove(model.file("config.json")); },
     3,
     {"config.json"}},
    {"PyTorchWeights",
     [](SmallCheckpoint& model) { std::filesystem::rename(model.file(kWeights), model.file("pytorch_model.bin")); },
     5,
     {"PyTorch"}},
};

const std::vector<Damage> kConfigs{
    {"NotJson", file("config.json", "{\"a\": "), 3, {"config.json"}},
    {"Empty", file("config.json", ""), 3, {"config.json"}},
    {"NotUtf8", file("config.json", "{\"model_type\": \"ll\xFF\"}"), 3, {"config.json"}},
    {"DeeplyNested", file("config.json", std::string(100'000, '[')), 3, {"config.json"}},
    {"NoObject", file("config.json", "[1]"), 2, {"config.json"}},
    {"NoArchitectures", file("config.json", "{}"), 5, {"LlamaForCausalLM"}},
    {"ArchitecturesIsANumber", config("architectures", 3), 2, {"architectures"}},
    {"ZeroHeads", config("num_attention_heads", 0), 2, {"num_attention_heads"}},
    {"NegativeLayers", config("num_hidden_layers", -1), 2, {"num_hidden_layers"}},
    {"HiddenSizeIsText", config("hidden_size", "wide"), 2, {"hidden_size"}},
    {"HiddenSizeIsHuge", config("hidden_size", std::int64_t{1} << 60), 2, {"hidden_size"}},
    {"VocabularyIsAFraction", config("vocab_size", 50.5), 2, {"vocab_size"}},
    {"HeadsThatDoNotShare", config("num_key_value_heads", 3), 2, {"num_key_value_heads"}},
    {"OddHeadDimension", config("head_dim", 7), 2, {"head_dim"}},
    {"NegativeEpsilon", config("rms_norm_eps", -1.0), 2, {"rms_norm_eps"}},
    {"ZeroTheta", config("rope_theta", 0), 2, {"rope_theta"}},
    {"NoPositions", config("max_position_embeddings", 0), 2, {"max_position_embeddings"}},
    {"UnknownActivation", config("hidden_act", "tanh2"), 5, {"hidden_act", "tanh2"}},
    {"UnknownScaling", config("rope_scaling", {{"rope_type", "yarn3"}, {"factor", 2.0}}), 5, {"yarn3"}},
    {"ScalingWithoutFactor", config("rope_scaling", {{"rope_type", "linear"}}), 2, {"factor"}},
    {"GenerationConfigNotJson", file("generation_config.json", "{"), 3, {"generation_config.json"}},
    {"EndTokenOutOfRange", file("generation_config.json", R"({"eos_token_id": "end"})"), 2, {"eos_token_id"}},
};

const std::vector<Damage> kIndices{
    {"NotJson", index("{"), 3, {kIndex}},
    {"WithoutWeightMap", index("{}"), 3, {"weight_map"}},
    {"NamesAnAbsentFile",
     index(R"({"weight_map": {"a": "model-00001-of-00002.safetensors"}})"),
     3,
     {"model-00001-of-00002.safetensors"}},
    {"LeavesTheFolder", index(R"({"weight_map": {"a": "../model.safetensors"}})"), 3, {kIndex}},
    {"AbsolutePath", index(R"({"weight_map": {"a": "/etc/passwd"}})"), 3, {kIndex}},
    {"LeavesTheFolderByADetour", index(R"({"weight_map": {"a": "b/../../model.safetensors"}})"), 3, {kIndex}},
    {"ShardLacksItsTensor",
     [](SmallCheckpoint& model) {
       std::filesystem::rename(model.file(kWeights), model.file("shard.safetensors"));
       model.folder.write(kIndex, R"({"weight_map": {"nowhere": "shard.safetensors"}})");
     },
     3,
     {"nowhere"}},
    {"FileNameIsANumber", index(R"({"weight_map": {"a": 1}})"), 3, {kIndex}},
};

class Malformed : public ::testing::TestWithParam<Damage> {};

TEST_P(Malformed, EndsInOneLine) {
  SmallCheckpoint model;
  GetParam().apply(model);
  EXPECT_TRUE(fails_saying(run_tessera({"generate", model.path(), "--ids", "--prompt-ids", "1,2", "--max-tokens", "1"}),
                           GetParam().exit_code, GetParam().said));
}

/// The same for what `bringup` must find before its first stage.
class MalformedForBringup : public Malformed {};

TEST_P(MalformedForBringup, EndsInOneLineAndLeavesNoReport) {
  SmallCheckpoint model;
  GetParam().apply(model);
  EXPECT_TRUE(fails_saying(run_tessera({"bringup", model.path(), "--report", model.file("report")}),
                           GetParam().exit_code, GetParam().said));
  EXPECT_FALSE(std::filesystem::exists(model.file("report/bringup.json")));
}

INSTANTIATE_TEST_SUITE_P(Safetensors, Malformed, ::testing::ValuesIn(kSafetensors), name_of);
INSTANTIATE_TEST_SUITE_P(Tensors, Malformed, ::testing::ValuesIn(kTensors), name_of);
INSTANTIATE_TEST_SUITE_P(Config, Malformed, ::testing::ValuesIn(kConfigs), name_of);
INSTANTIATE_TEST_SUITE_P(Index, Malformed, ::testing::ValuesIn(kIndices), name_of);
INSTANTIATE_TEST_SUITE_P(Tensors, MalformedForBringup, ::testing::ValuesIn(kTensors), name_of);

TEST(UnknownArchitecture, ListsTheKnownTheNearestAndTheDifferences) {
  SmallCheckpoint model;
  model.config["architectures"] = {"OlmoTwoForCausalLM"};
  model.config["model_type"] = "olmo_two";
  model.config["clip_qkv"] = 8.0;
  model.weights["model.layers.0.self_attn.q_norm.weight"] = {{8}, std::vector<float>(8, 1.0F)};
  model.write();
  EXPECT_TRUE(fails_saying(run_tessera({"generate", model.path(), "--ids", "--prompt-ids", "1"}), 5,
                           {"OlmoTwoForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                            "nearest", "clip_qkv", "q_norm"}));
}

TEST(UnusedTensor, FailsTheBaselineAndIsNamed) {
  SmallCheckpoint model;
  model.weights["model.layers.7.extra.weight"] = {{1}, {0.0F}};
  model.write();
  const ProgramRun run =
      run_tessera({"bringup", model.path(), "--stages", "baseline", "--report", model.file("report")});
  if (run.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 1) << run.error;
  EXPECT_NE(run.output.find("model.layers.7.extra.weight"), std::string::npos) << run.output;
}

TEST(KvCacheTooLarge, IsRefusedByBringupBeforeAnythingIsLoaded) {
  SmallCheckpoint model;
  model.config["max_position_embeddings"] = 1 << 26;
  model.write();
  EXPECT_TRUE(fails_saying(
      run_tessera({"bringup", model.path(), "--context", std::to_string(1 << 26), "--report", model.file("report")}), 4,
      {"[allocate]", "must fit the DRAM of one n150", "free"}));
  EXPECT_FALSE(std::filesystem::exists(model.file("report")));
}

TEST(OptionsOutOfRange, EndInOneLine) {
  const SmallCheckpoint model;
  const std::vector<Words> cases{
      {"--temperature", "nan"}, {"--temperature", "inf"}, {"--top-p", "0"},         {"--top-p", "nan"},
      {"--top-k", "-1"},        {"--max-tokens", "-1"},   {"--seed", "-1"},         {"--dp", "0"},
      {"--tp", "-1"},           {"--context", "-1"},      {"--threads", "99999999"}};
  for (const Words& options : cases) {
    EXPECT_TRUE(fails_saying(
        run_tessera({"generate", model.path(), "--ids", "--prompt-ids", "1,2,3", options[0], options[1]}), 2, {}))
        << options[0] << ' ' << options[1];
  }
}

/// A tokenizer.json of GPT-2's kind: id b is byte b, 256 is "he", 257 is the special token "<end>".
json good_tokenizer() {
  json file = tokenizer::byte_level_file({{"h", "e"}});
  file["added_tokens"] = json::array({{{"id", 257}, {"content", "<end>"}, {"special", true}}});
  return file;
}

/// A tokenizer.json that is wrong in one place.
struct BadTokenizer {
  const char* name;
  std::function<std::string()> text;
  int exit_code;
  Words said;
};

void PrintTo(const BadTokenizer& bad, std::ostream* stream) {
  *stream << bad.name;
}

std::function<std::string()> with(const char* pointer, const json& value) {
  return [=] {
    json file = good_tokenizer();
    file[json::json_pointer(pointer)] = value;
    return file.dump();
  };
}

std::function<std::string()> text(const std::string& text) {
  return [=] { return text; };
}

const std::vector<BadTokenizer> kTokenizers{
    {"Empty", text(""), 3, {"tokenizer.json"}},
    {"NotJson", text("{\"model\":"), 3, {"tokenizer.json"}},
    {"NotUtf8", text("{\"model\": \"\xFF\"}"), 3, {"tokenizer.json"}},
    {"DeeplyNested", text(std::string(100'000, '[')), 3, {"tokenizer.json"}},
    {"NoObject", text("[]"), 2, {"tokenizer.json"}},
    {"NoModel", text("{}"), 2, {"model"}},
    {"UnknownModel", with("/model/type", "Bigram"), 5, {"Bigram"}},
    {"UnknownNormalizer", with("/normalizer", {{"type", "Shout"}}), 5, {"Shout"}},
    {"UnknownPreTokenizer", with("/pre_tokenizer", {{"type", "Chop"}}), 5, {"Chop"}},
    {"UnknownPostProcessor", with("/post_processor", {{"type", "Wrap"}}), 5, {"Wrap"}},
    {"UnknownDecoder", with("/decoder", {{"type", "Undo"}}), 5, {"Undo"}},
    {"UnknownInASequence",
     with("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Shout"}}}}}),
     5,
     {"Shout"}},
    {"VocabularyIsAList", with("/model/vocab", json::array({1, 2})), 2, {"vocab"}},
    {"IdIsText", with("/model/vocab/h", "x"), 2, {"tokenizer.json"}},
    {"NegativeId", with("/model/vocab/h", -4), 2, {"tokenizer.json"}},
    {"MergeOfAnUnknownToken", with("/model/merges/0", {"qq", "e"}), 2, {"qq"}},
    {"AddedTokenWithoutContent", with("/added_tokens/0", {{"id", 257}}), 2, {"added_tokens"}},
    {"PatternThatIsNone",
     with("/pre_tokenizer",
          {{"type", "Split"}, {"pattern", {{"Regex", "("}}}, {"behavior", "Isolated"}, {"invert", false}}),
     2,
     {"regular expression"}},
};

std::string tokenizer_name(const ::testing::TestParamInfo<BadTokenizer>& info) {
  return info.param.name;
}

class MalformedTokenizer : public ::testing::TestWithParam<BadTokenizer> {};

TEST(GoodTokenizer, IsAccepted) {
  const TemporaryFolder folder;
  const std::string path = folder.write("tokenizer.json", good_tokenizer().dump()).string();
  EXPECT_EQ(run_tessera({"tokenize", path}, "[\"he<end>\"]").output, "[[256,257]]\n");
}

TEST_P(MalformedTokenizer, EndsInOneLine) {
  const TemporaryFolder folder;
  const std::string path = folder.write("tokenizer.json", GetParam().text()).string();
  EXPECT_TRUE(fails_saying(run_tessera({"tokenize", path}, "[\"a\"]"), GetParam().exit_code, GetParam().said));
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, MalformedTokenizer, ::testing::ValuesIn(kTokenizers), tokenizer_name);

} // namespace
} // namespace tessera::test
