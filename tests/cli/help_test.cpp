// --help, --version, devices: what needs no model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kCommands[] = {"bringup", "report",  "compare",   "bisect",   "tune",       "export", "generate",
                                     "chat",    "forward", "classify",  "tokenize", "detokenize", "plan",   "predict",
                                     "bench",   "profile", "replay-op", "devices",  "models"};

TEST(Help, SaysAllOfEverySubcommand) {
  const ProgramRun run = run_tessera({"--help"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.error, "");
  for (const char* command : kCommands) {
    const ProgramRun own = run_tessera({command, "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_THAT(own.output, HasSubstr(std::string("tessera ") + command));
    EXPECT_THAT(own.output, HasSubstr("Examples:"));
    EXPECT_THAT(run.output, HasSubstr(own.output));
  }
  EXPECT_THAT(run.output, HasSubstr("Exit codes:"));
}

TEST(Help, PrintsTheDefaultsOfModelOptions) {
  const std::string help = run_tessera({"generate", "--help"}).output;
  for (const char* option : {"--board TEXT=n150", "--numerics TEXT=native", "--precision TEXT=accuracy",
                             "--context INT=0", "--dp N", "--tp N|RxC", "--threads INT=0"}) {
    EXPECT_THAT(help, HasSubstr(option));
  }
}

TEST(Version, IsOneLine) {
  const ProgramRun run = run_tessera({"--version"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, ::testing::MatchesRegex("tessera [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Devices, ListsBoardsWithUnitsInTheKeys) {
  const nlohmann::json report = report_of(run_tessera({"devices", "--json"}));
  std::vector<std::string> names;
  for (const auto& board : report.at("boards")) names.push_back(board.at("name"));
  EXPECT_EQ(names, (std::vector<std::string>{"n150", "n300", "t3000", "galaxy", "p150"}));
  const nlohmann::json& n150 = report.at("boards").at(0);
  EXPECT_EQ(n150.at("chips"), 1);
  EXPECT_EQ(n150.at("worker_grid"), (std::vector<int>{8, 8}));
  EXPECT_EQ(n150.at("dram_bytes_per_chip"), 12 * n150.at("dram_bytes_per_bank").get<std::int64_t>());
  EXPECT_EQ(n150.at("dram_bytes_per_s"), 288e9);
}

TEST(Models, ListsFamiliesWithTheirArchitecturesAndCheckpoints) {
  const nlohmann::json report = report_of(run_tessera({"models", "--json"}));
  std::map<std::string, nlohmann::json> families;
  for (const auto& family : report.at("families")) families[family.at("family")] = family;
  for (const char* name :
       {"falcon", "gemma", "gemma2", "gpt2", "llama", "mistral", "mixtral", "phi3", "qwen2", "qwen3", "resnet", "vit"})
    EXPECT_EQ(families.count(name), 1U) << name;
  EXPECT_THAT(families.at("llama").at("architectures").get<std::vector<std::string>>(),
              ::testing::IsSupersetOf({"LlamaForCausalLM", "XverseForCausalLM"}));
  EXPECT_EQ(families.at("qwen3").at("checkpoints").at(0).at("name"), "qwen3-0.6b");
  EXPECT_EQ(families.at("qwen3").at("checkpoints").at(0).at("parameters"), 596'049'920);
  EXPECT_EQ(families.at("resnet").at("checkpoints").at(0).at("parameters"), 25'610'152); // statistics of norms counted
  EXPECT_THAT(run_tessera({"models"}).output, HasSubstr("gemma-2-2b                  2.61 billion parameters"));
}

TEST(Devices, PrintsATableWithoutJson) {
  const ProgramRun run = run_tessera({"devices"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.error, "");
  EXPECT_THAT(run.output, HasSubstr("galaxy"));
}

TEST(Json, GoesToAFileBesideTheTable) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "boards.json").string();
  const ProgramRun run = run_tessera({"devices", "--json", file});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, run_tessera({"devices"}).output);
  EXPECT_EQ(nlohmann::json::parse(base::read_file(file)), report_of(run_tessera({"devices", "--json"})));
}

} // namespace
} // namespace tessera::test
