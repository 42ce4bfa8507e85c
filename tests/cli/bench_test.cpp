#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/one_line_error.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

const TemporaryFolder& folder() {
  static const TemporaryFolder instance;
  return instance;
}

/// A configuration alone: weights are random.
std::string config_file() {
  return folder()
      .write("config.json", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 160,
        "max_position_embeddings": 256, "torch_dtype": "bfloat16"})")
      .string();
}

ProgramRun bench(std::vector<std::string> options) {
  options.insert(options.begin(),
                 {"bench", config_file(), "--random-weights", "--repeats", "1", "--decode", "2", "--prompt", "5"});
  return run_tessera(options);
}

TEST(Bench, ReportsEachFigureInTheOrderOfTheOptions) {
  const auto report =
      report_of(bench({"--prefill", "40,8", "--batch", "3,1", "--precision", "bfp8", "--ops", "--json"}));
  EXPECT_EQ(report.at("precision"), "bfp8");
  EXPECT_GT(report.at("threads"), 0);
  EXPECT_GT(report.at("read_gb_per_s"), 0.0);
  EXPECT_GT(report.at("load_s"), 0.0);
  EXPECT_GT(report.at("peak_bytes"), 0);
  ASSERT_EQ(report.at("prefill").size(), 2U);
  EXPECT_EQ(report.at("prefill")[0].at("tokens"), 40);
  EXPECT_EQ(report.at("prefill")[1].at("tokens"), 8);
  ASSERT_EQ(report.at("decode").size(), 2U);
  EXPECT_EQ(report.at("decode")[0].at("batch"), 3);
  EXPECT_EQ(report.at("decode")[1].at("batch"), 1);
  for (const auto& row : report.at("decode")) {
    EXPECT_NEAR(row.at("tokens_per_s").get<double>(),
                row.at("batch").get<double>() * row.at("tokens_per_s_user").get<double>(),
                1e-6 * row.at("tokens_per_s").get<double>());
    // All matmul weights, once: Q, K, V as 128 columns, O, three of the MLP, the head; in tiles of 1088 bytes.
    EXPECT_EQ(row.at("weight_bytes"), (2 * (2 * 4 + 2 * 2 + 3 * 2 * 3) + 2 * 5) * 1088);
    EXPECT_FALSE(row.at("ops").empty());
  }
}

TEST(Bench, PrintsATableWithoutJson) {
  const ProgramRun run = bench({"--prefill", "8", "--batch", "1"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  for (const char* part : {"prefill", "decode, batch", "tokens/s", "load", "measured on this host"})
    EXPECT_THAT(run.output, testing::HasSubstr(part));
}

TEST(Bench, RefusesAConfigurationWithoutWeightsUnlessTheyAreRandom) {
  const ProgramRun run = run_tessera({"bench", config_file()});
  EXPECT_NE(run.exit_code, 0);
  EXPECT_EQ(run.error_lines(), 1U);
  EXPECT_NE(bench({"--batch", "0"}).exit_code, 0);
}

} // namespace
} // namespace tessera::test
