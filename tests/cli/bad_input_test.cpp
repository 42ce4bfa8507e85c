// What users get wrong on the command line, in input files and on standard input: each kind ends in one line on
// standard error and an exit code of its kind, never in a crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/checkpoint/safetensors_bytes.hpp"
#include "tests/cli/one_line_error.hpp"
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

/// `forward` of a file with this header and `data_bytes` zeros.
Arguments with_input(const TinyFolder& folder, const std::string& header, std::size_t data_bytes) {
  return {"forward",  folder.path(),
          "--input",  folder.write("ids", safetensors_bytes(header, std::string(data_bytes, '\0'))),
          "--output", folder.file("out")};
}

/// `command` with a good tokenizer.json.
Arguments with_tokenizer(const TinyFolder& folder, const char* command) {
  return {command, folder.write("tokenizer.json", small_tokenizer())};
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
    {"TensorParallel", kInvalidArgument, "received \"2\"", [](const auto& folder) { return forward(folder, {"--tp", "2"}); }},
    {"DataParallel", kInvalidArgument, "--dp must be in 1..1", [](const auto& folder) { return forward(folder, {"--dp", "2"}); }},
    {"PrecisionFileAbsent", kIoError, "absent.json", [](const auto& folder) { return forward(folder, {"--precision", folder.file("absent.json")}); }},
    {"PrecisionFileUnknownKey", kInvalidArgument, "\"ff9\"", [](const auto& folder) { return forward(folder, {"--precision", folder.write("p.json", R"({"ff9": "bf16"})")}); }},
    {"BothPrompts", kInvalidArgument, "both", [](const auto& folder) { return generate_text(folder, {"--prompt", "a", "--prompt-ids", "1"}); }},
    {"NoPrompt", kInvalidArgument, "neither", [](const auto& folder) { return generate_text(folder, {}); }},
    {"EmptyPrompt", kInvalidArgument, "--prompt", [](const auto& folder) { return generate_text(folder, {"--prompt", ""}); }},
    {"EmptyPromptIds", kInvalidArgument, "token id", [](const auto& folder) { return generate(folder, {"--prompt-ids", "", "--ids"}); }},
    {"PromptIdsNotIds", kInvalidArgument, "\"two\"", [](const auto& folder) { return generate(folder, {"--prompt-ids", "1,two", "--ids"}); }},
    {"PromptIdOutOfRange", kInvalidArgument, "50", [](const auto& folder) { return generate(folder, {"--prompt-ids", "50", "--ids"}); }},
    {"PromptFileAbsent", kIoError, "absent", [](const auto& folder) { return generate(folder, {"--prompt-ids", std::string("@") + folder.file("absent"), "--ids"}); }},
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

const std::vector<BadInput> kInputs = {
    {"CheckpointAbsent", kIoError, "absent", [](const auto& folder) { return Arguments{"generate", folder.file("absent"), "--prompt-ids", "1", "--ids"}; }},
    {"HubNameAbsent", kIoError, "no-such-org/no-such-model", [](const auto&) { return Arguments{"plan", "no-such-org/no-such-model"}; }},
    {"InputIdsAbsent", kIoError, "input_ids", [](const auto& folder) { return with_input(folder, R"({"ids": {"dtype": "I64", "shape": [1, 1], "data_offsets": [0, 8]}})", 8); }},
    {"InputIdsOfAnotherDtype", kInvalidArgument, "F32", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}})", 8); }},
    {"InputIdsOfAnotherRank", kInvalidArgument, "[2]", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}})", 16); }},
    {"InputIdsEmpty", kInvalidArgument, "[2, 0]", [](const auto& folder) { return with_input(folder, R"({"input_ids": {"dtype": "I64", "shape": [2, 0], "data_offsets": [0, 0]}})", 0); }},
    {"InputIdBeyondTheVocabulary", kInvalidArgument, "50", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, 50}), "--output", folder.file("out")}; }},
    {"InputIdBeyond32Bits", kInvalidArgument, "4294967297", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, 4294967297}), "--output", folder.file("out")}; }},
    {"InputIdNegative", kInvalidArgument, "-1", [](const auto& folder) { return Arguments{"forward", folder.path(), "--input", folder.write_ids("ids", {1, 2}, {1, -1}), "--output", folder.file("out")}; }},
    {"TokenizerAbsent", kIoError, "tokenizer.json", [](const auto& folder) { return Arguments{"tokenize", folder.path()}; }, "[]"},
    {"TextsAbsent", kIoError, "standard input", [](const auto& folder) { return with_tokenizer(folder, "tokenize"); }},
    {"TextsNotJson", kIoError, "standard input", [](const auto& folder) { return with_tokenizer(folder, "tokenize"); }, "[\"a\""},
    {"TextsNotUtf8", kIoError, "standard input", [](const auto& folder) { return with_tokenizer(folder, "tokenize"); }, "[\"\xC3(\"]"},
    {"TextsNotAnArray", kInvalidArgument, "array", [](const auto& folder) { return with_tokenizer(folder, "tokenize"); }, "{\"a\": 1}"},
    {"TextsNotStrings", kInvalidArgument, "entry 1", [](const auto& folder) { return with_tokenizer(folder, "tokenize"); }, "[\"a\", 5]"},
    {"IdsNotArrays", kInvalidArgument, "entry 0", [](const auto& folder) { return with_tokenizer(folder, "detokenize"); }, "[5]"},
    {"IdsNotIntegers", kInvalidArgument, "1.5", [](const auto& folder) { return with_tokenizer(folder, "detokenize"); }, "[[1.5]]"},
    {"IdOfNoToken", kInvalidArgument, "9999", [](const auto& folder) { return with_tokenizer(folder, "detokenize"); }, "[[9999]]"},
    {"IdBeyond64Bits", kInvalidArgument, "detokenize", [](const auto& folder) { return with_tokenizer(folder, "detokenize"); }, "[[18446744073709551615]]"},
};
// clang-format on

class BadInputs : public ::testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, EndsInOneLineAndAnExitCodeOfItsKind) {
  const BadInput& bad = GetParam();
  const TinyFolder folder;
  EXPECT_TRUE(fails_saying(run_tessera(bad.arguments(folder), bad.input), bad.exit_code, {bad.mentions}));
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

std::string name_of(const ::testing::TestParamInfo<BadInput>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(Usage, BadInputs, ::testing::ValuesIn(kUsage), name_of);
INSTANTIATE_TEST_SUITE_P(Inputs, BadInputs, ::testing::ValuesIn(kInputs), name_of);

TEST(Verbose, AddsTheKindOfAnError) {
  const ProgramRun run = run_tessera({"plan", "absent/model", "--verbose"});
  EXPECT_EQ(run.exit_code, kIoError);
  EXPECT_THAT(run.error, ::testing::HasSubstr("IoError"));
  EXPECT_EQ(run.error_lines(), 2U);
}

} // namespace
} // namespace tessera::test
