// What users get wrong: each kind ends in one line on standard error and an exit code of its kind, never in a crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using Arguments = std::vector<std::string>;

constexpr int kInvalidArgument = 2;
constexpr int kIoError = 3;
constexpr int kUnsupported = 5;

struct BadInput {
  const char* name;
  int exit_code;
  const char* mentions; ///< the error says this
  /// Breaks something in or beside a good checkpoint and says how to call the program.
  std::function<Arguments(const TinyFolder&)> arguments;
  std::string input = "";
};

/// For messages: the case's name in place of its bytes.
void PrintTo(const BadInput& bad, std::ostream* out) {
  *out << bad.name;
}

Arguments forward(const TinyFolder& folder, const Arguments& options = {}) {
  Arguments arguments{"forward",  folder.path(),     "--input", folder.write_ids("ids", {1, 3}, {1, 2, 3}),
                      "--output", folder.file("out")};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return arguments;
}

Arguments generate(const TinyFolder& folder, const Arguments& options) {
  Arguments arguments{"generate", folder.path()};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return arguments;
}

Arguments generate_text(const TinyFolder& folder, const Arguments& options) {
  folder.write("tokenizer.json", small_tokenizer());
  return generate(folder, options);
}

/// A safetensors file with this header and `data_bytes` zeros.
std::string safetensors(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return bytes + header + std::string(data_bytes, '\0');
}

Arguments with_weights(const TinyFolder& folder, const std::string& bytes) {
  folder.write("model.safetensors", bytes);
  return forward(folder);
}

Arguments with_input(const TinyFolder& folder, const std::string& header, std::size_t data_bytes) {
  return {"forward",  folder.path(),     "--input", folder.write("ids", safetensors(header, data_bytes)),
          "--output", folder.file("out")};
}

Arguments with_config(const TinyFolder& folder, const nlohmann::json& changes) {
  folder.write("config.json", tiny_config(changes).dump());
  return forward(folder);
}

Arguments with_index(const TinyFolder& folder, const std::string& shard) {
  std::filesystem::remove(folder.file("model.safetensors"));
  folder.write("model.safetensors.index.json", nlohmann::json{{"weight_map", {{"model.norm.weight", shard}}}}.dump());
  return forward(folder);
}

Arguments tokenize(const TinyFolder& folder, const std::string& tokenizer) {
  return {"tokenize", folder.write("tokenizer.json", tokenizer)};
}

std::string tokenizer_with(const char* part, const nlohmann::json& value) {
  auto tokenizer = nlohmann::json::parse(small_tokenizer());
  tokenizer[part] = value;
  return tokenizer.dump();
}

// clang-format off
const std::vector<BadInput> kUsage = {
    {"NoCommand", kInvalidArgument, "subcommand", [](const auto&) { return Arguments{}; }},
    {"UnknownCommand", kInvalidArgument, "\"nope\"", [](const auto&) { return Arguments{"nope"}; }},
    {"UnknownOption", kInvalidArgument, "--nope", [](const auto&) { return Arguments{"devices", "--nope"}; }},
    {"MissingArgument", kInvalidArgument, "--input", [](const auto& folder) { return Arguments{"forward", folder.path()}; }},
    {"NotANumber", kInvalidArgument, "--max-tokens", [](const auto& folder) { return generate(folder, {"--max-tokens", "many"}); }},
    {"UnknownMode", kInvalidArgument, "\"sideways\"", [](const auto& folder) { return forward(folder, {"--mode", "sideways"}); }},
    {"UnknownBoard", kInvalidArgument, "n150", [](const auto& folder) { return forward(folder, {"--board", "n151"}); }},
    {"UnknownPrecision", kInvalidArgument, "accuracy", [](const auto& folder) { return forward(folder, {"--precision", "fp3"}); }},
    {"UnknownNumerics", kInvalidArgument, "native", [](const auto& folder) { return forward(folder, {"--numerics", "odd"}); }},
    {"NegativeContext", kInvalidArgument, "-1", [](const auto& folder) { return forward(folder, {"--context", "-1"}); }},
    {"ContextBeyondTheModel", kInvalidArgument, "64", [](const auto& folder) { return forward(folder, {"--context", "65"}); }},
    {"NegativeThreads", kInvalidArgument, "-2", [](const auto& folder) { return forward(folder, {"--threads", "-2"}); }},
    {"TensorParallel", kUnsupported, "--tp 2", [](const auto& folder) { return forward(folder, {"--tp", "2"}); }},
    {"DataParallel", kUnsupported, "--dp 2", [](const auto& folder) { return forward(folder, {"--dp", "2"}); }},
    {"PrecisionFileAbsent", kIoError, "absent.json", [](const auto& folder) { return forward(folder, {"--precision", folder.file("absent.json")}); }},
    {"PrecisionFileUnknownKey", kInvalidArgument, "\"ff9\"", [](const auto& folder) { return forward(folder, {"--precision", folder.write("p.json", R"({"ff9": "bf16"})")}); }},
    {"BothPrompts", kInvalidArgument, "both", [](const auto& folder) { return generate_text(folder, {"--prompt", "a", "--prompt-ids", "1"}); }},
    {"NoPrompt", kInvalidArgument, "neither", [](const auto& folder) { return generate_text(folder, {}); }},
    {"EmptyPrompt", kInvalidArgument, "--prompt", [](const auto& folder) { return generate_text(folder, {"--prompt", ""}); }},
    {"EmptyPromptIds", kInvalidArgument, "token id", [](const auto& folder) { return generate(folder, {"--prompt-ids", "", "--ids"}); }},
    {"PromptIdsNotIds", kInvalidArgument, "\"two\"", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1,two", "--ids"}); }},
    {"PromptIdOutOfRange", kInvalidArgument, "50", [](const auto& folder) { return generate(folder, {"--prompt-ids", "50", "--ids"}); }},
    {"PromptFileAbsent", kIoError, "absent", [](const auto& folder) { return generate(folder, {"--prompt-ids", "@" + folder.file("absent"), "--ids"}); }},
    {"PromptNotUtf8", kInvalidArgument, "UTF-8", [](const auto& folder) { return generate_text(folder, {"--prompt", "\xFF\xFE"}); }},
    {"PromptBeyondTheContext", kInvalidArgument, "context", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1,2,3", "--ids", "--context", "2"}); }},
    {"TextWithoutATokenizer", kIoError, "--ids", [](const auto& folder) { return generate(folder, {"--prompt", "a"}); }},
    {"NoTokens", kInvalidArgument, "max_tokens", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1", "--ids", "--max-tokens", "0"}); }},
    {"NegativeTemperature", kInvalidArgument, "temperature", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1", "--ids", "--temperature", "-1"}); }},
    {"ImpossibleTopP", kInvalidArgument, "top_p", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1", "--ids", "--top-p", "1.5"}); }},
    {"OutputNotWritable", kIoError, "folder", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 1}, {1}), "--output", folder.file("config.json/out")}; }},
    {"JsonNotWritable", kIoError, "folder", [](const auto& folder) { return Arguments{"devices", "--json", folder.file("config.json/out")}; }},
    {"BatchOfPlan", kInvalidArgument, "33", [](const auto& folder) { return Arguments{"plan", folder.path(), "--batch", "33"}; }},
    {"PromptOfPlan", kInvalidArgument, "65", [](const auto& folder) { return Arguments{"plan", folder.path(), "--prompt-length", "65"}; }},
    {"StageOfBringup", kInvalidArgument, "teacher-forcing", [](const auto& folder) { return Arguments{"bringup", folder.path(), "--stages", "all"}; }},
    {"TextOfBringup", kIoError, "absent.txt", [](const auto& folder) { folder.write("tokenizer.json", small_tokenizer()); return Arguments{"bringup", folder.path(), "--text", folder.file("absent.txt")}; }},
    {"LayersOfBringup", kInvalidArgument, "layers", [](const auto& folder) { return Arguments{"bringup", folder.path(), "--layers", "3", "--report", folder.file("report")}; }},
    {"ReferenceOfBringup", kIoError, "absent", [](const auto& folder) { return Arguments{"bringup", folder.path(), "--reference", folder.file("absent")}; }},
};

const std::vector<BadInput> kFiles = {
    {"CheckpointAbsent", kIoError, "absent", [](const auto& folder) { return Arguments{"generate", folder.file("absent"), "--prompt-ids", "1", "--ids"}; }},
    {"HubNameAbsent", kIoError, "no-such-org/no-such-model", [](const auto&) { return Arguments{"plan", "no-such-org/no-such-model"}; }},
    {"ConfigAbsent", kIoError, "config.json", [](const auto& folder) { std::filesystem::remove(folder.file("config.json")); return forward(folder); }},
    {"WeightsAbsent", kIoError, "model.safetensors", [](const auto& folder) { std::filesystem::remove(folder.file("model.safetensors")); return forward(folder); }},
    {"ConfigNotJson", kIoError, "config.json", [](const auto& folder) { folder.write("config.json", "{,"); return forward(folder); }},
    {"ConfigNotUtf8", kIoError, "config.json", [](const auto& folder) { folder.write("config.json", "{\"a\": \"\xFF\"}"); return forward(folder); }},
    {"ConfigNotAnObject", kInvalidArgument, "config.json", [](const auto& folder) { folder.write("config.json", "[]"); return forward(folder); }},
    {"ConfigNestedDeeply", kIoError, "nest", [](const auto& folder) { folder.write("config.json", std::string(100000, '[')); return forward(folder); }},
    {"UnknownArchitecture", kUnsupported, "LlamaForCausalLM", [](const auto& folder) { return with_config(folder, {{"architectures", {"OddForCausalLM"}}}); }},
    {"ZeroLayers", kInvalidArgument, "num_hidden_layers", [](const auto& folder) { return with_config(folder, {{"num_hidden_layers", 0}}); }},
    {"NegativeHiddenSize", kInvalidArgument, "hidden_size", [](const auto& folder) { return with_config(folder, {{"hidden_size", -4}}); }},
    {"HugeVocabulary", kInvalidArgument, "vocab_size", [](const auto& folder) { return with_config(folder, {{"vocab_size", 1e30}}); }},
    {"HeadsThatDoNotDivide", kInvalidArgument, "num_key_value_heads", [](const auto& folder) { return with_config(folder, {{"num_key_value_heads", 3}}); }},
    {"LayersBeyondTheTensors", kIoError, "model.layers.2", [](const auto& folder) { return with_config(folder, {{"num_hidden_layers", 3}}); }},
    {"MisshapenTensors", kIoError, "mlp", [](const auto& folder) { return with_config(folder, {{"intermediate_size", 48}}); }},
    {"WeightsEmpty", kIoError, "model.safetensors", [](const auto& folder) { return with_weights(folder, ""); }},
    {"WeightsTruncated", kIoError, "model.safetensors", [](const auto& folder) { return with_weights(folder, safetensors(R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})", 12)); }},
    {"HeaderOversized", kIoError, "model.safetensors", [](const auto& folder) { return with_weights(folder, std::string(7, '\xFF') + '\x7F' + "{}"); }},
    {"HeaderNestedDeeply", kIoError, "nest", [](const auto& folder) { return with_weights(folder, safetensors(std::string(100000, '['), 0)); }},
    {"TensorsOverlap", kIoError, "model.safetensors", [](const auto& folder) { return with_weights(folder, safetensors(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}})", 12)); }},
    {"DtypeUnknown", kIoError, "F12", [](const auto& folder) { return with_weights(folder, safetensors(R"({"a": {"dtype": "F12", "shape": [2], "data_offsets": [0, 3]}})", 3)); }},
    {"ShardAbsent", kIoError, "part-2.safetensors", [](const auto& folder) { return with_index(folder, "part-2.safetensors"); }},
    {"ShardOutsideTheFolder", kIoError, "own folder", [](const auto& folder) { return with_index(folder, "../other.safetensors"); }},
    {"InputIdsAbsent", kIoError, "input_ids", [](const auto& folder) { return with_input(folder, R"({"ids": {"dtype": "I64", "shape": [1, 1], "data_offsets": [0, 8]}})", 8); }},
    {"InputIdsOfAnotherDtype", kInvalidArgument, "F32", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}})", 8); }},
    {"InputIdsOfAnotherRank", kInvalidArgument, "[2]", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}})", 16); }},
    {"InputIdsEmpty", kInvalidArgument, "[2, 0]", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "I64", "shape": [2, 0], "data_offsets": [0, 0]}})", 0); }},
    {"InputIdBeyondTheVocabulary", kInvalidArgument, "50", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, 50}), "--output", folder.file("out")}; }},
    {"InputIdBeyond32Bits", kInvalidArgument, "4294967297", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, 4294967297}), "--output", folder.file("out")}; }},
    {"InputIdNegative", kInvalidArgument, "-1", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, -1}), "--output", folder.file("out")}; }},
    {"TokenizerAbsent", kIoError, "tokenizer.json", [](const auto& folder) { return Arguments{"tokenize", folder.path()}; }, "[]"},
    {"TokenizerNotJson", kIoError, "tokenizer.json", [](const auto& folder) { return tokenize(folder, "{"); }, "[]"},
    {"TokenizerOfUnknownModel", kUnsupported, "Unigram", [](const auto& folder) { return tokenize(folder, tokenizer_with("model", {{"type", "Unigram"}})); }, "[]"},
    {"TokenizerOfUnknownNormalizer", kUnsupported, "Odd", [](const auto& folder) { return tokenize(folder, tokenizer_with("normalizer", {{"type", "Odd"}})); }, "[]"},
    {"TextsAbsent", kIoError, "standard input", [](const auto& folder) { return tokenize(folder, small_tokenizer()); }},
    {"TextsNotJson", kIoError, "standard input", [](const auto& folder) { return tokenize(folder, small_tokenizer()); }, "[\"a\""},
    {"TextsNotUtf8", kIoError, "standard input", [](const auto& folder) { return tokenize(folder, small_tokenizer()); }, "[\"\xC3(\"]"},
    {"TextsNotAnArray", kInvalidArgument, "array", [](const auto& folder) { return tokenize(folder, small_tokenizer()); }, "{\"a\": 1}"},
    {"TextsNotStrings", kInvalidArgument, "entry 1", [](const auto& folder) { return tokenize(folder, small_tokenizer()); }, "[\"a\", 5]"},
    {"IdsNotArrays", kInvalidArgument, "entry 0", [](const auto& folder) { return Arguments{"detokenize", folder.write("tokenizer.json", small_tokenizer())}; }, "[5]"},
    {"IdsNotIntegers", kInvalidArgument, "1.5", [](const auto& folder) { return Arguments{"detokenize", folder.write("tokenizer.json", small_tokenizer())}; }, "[[1.5]]"},
    {"IdOfNoToken", kInvalidArgument, "9999", [](const auto& folder) { return Arguments{"detokenize", folder.write("tokenizer.json", small_tokenizer())}; }, "[[9999]]"},
    {"IdBeyond64Bits", kInvalidArgument, "detokenize", [](const auto& folder) { return Arguments{"detokenize", folder.write("tokenizer.json", small_tokenizer())}; }, "[[18446744073709551615]]"},
};
// clang-format on

class BadInputs : public ::testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, EndsInOneLineAndAnExitCodeOfItsKind) {
  const BadInput& bad = GetParam();
  const TinyFolder folder;
  const ProgramRun run = run_tessera(bad.arguments(folder), bad.input);
  EXPECT_EQ(run.exit_code, bad.exit_code) << run.error;
  EXPECT_EQ(run.output, "");
  EXPECT_EQ(run.error_lines(), 1U) << run.error;
  EXPECT_THAT(run.error, ::testing::StartsWith("error: ["));
  EXPECT_THAT(run.error, ::testing::HasSubstr(bad.mentions));
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

std::string name_of(const ::testing::TestParamInfo<BadInput>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(Usage, BadInputs, ::testing::ValuesIn(kUsage), name_of);
INSTANTIATE_TEST_SUITE_P(Files, BadInputs, ::testing::ValuesIn(kFiles), name_of);

TEST(Verbose, AddsTheKindOfAnError) {
  const ProgramRun run = run_tessera({"plan", "absent/model", "--verbose"});
  EXPECT_EQ(run.exit_code, kIoError);
  EXPECT_THAT(run.error, ::testing::HasSubstr("IoError"));
  EXPECT_EQ(run.error_lines(), 2U);
}

} // namespace
} // namespace tessera::test
