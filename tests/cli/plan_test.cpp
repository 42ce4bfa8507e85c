#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

const std::string kConfigs = std::string(TESSERA_SOURCE_DIR) + "/configs/";

/// Llama-3.1-8B by its dimensions: elements of what the tile formats hold.
struct Llama8b {
  static constexpr double kE = 4096, kF = 14336, kV = 128256, kLayers = 32, kKv = 8 * 128;
  static constexpr double kLayerMatrices = 2 * kE * kE + 2 * kE * kKv + 3 * kE * kF;
  static constexpr double kMatmulWeights = kLayers * kLayerMatrices + kE * kV;
  static constexpr double kEmbedding = kE * kV;
};

// Bytes of an element of the tile formats: 1088 / 1024 for BFLOAT8_B with its exponents.
constexpr double kBfp8 = 1088.0 / 1024.0;
constexpr double kBf16 = 2.0;

ProgramRun plan(const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"plan", kConfigs + "llama-3.1-8b.json", "--board", "n150"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_tessera(arguments);
}

TEST(Plan, Llama8bInBf16DoesNotFitAnN150) {
  const ProgramRun run = plan({"--precision", "bf16", "--json"});
  EXPECT_EQ(run.exit_code, 1);
  const auto report = nlohmann::json::parse(run.output);
  EXPECT_EQ(report.at("fits"), false);
  const std::string explanation = report.at("explanation");
  for (const char* part : {"n150", "weights", "free", "--precision bfp8"}) EXPECT_THAT(explanation, HasSubstr(part));
  // What it would need is told all the same.
  const double weights = report.at("bytes_per_chip").at("weights");
  const double expected = kBf16 * (Llama8b::kMatmulWeights + Llama8b::kEmbedding);
  EXPECT_NEAR(weights / expected, 1.0, 0.02);
  EXPECT_GT(report.at("peak_bytes"), report.at("capacity_bytes"));
}

TEST(Plan, Llama8bInBfp8FitsWithTheBytesOfTheTileFormats) {
  const auto report = report_of(plan({"--precision", "bfp8", "--batch", "8", "--context", "1024", "--json"}));
  EXPECT_EQ(report.at("fits"), true);
  EXPECT_EQ(report.at("explanation"), nullptr);
  const auto& bytes = report.at("bytes_per_chip");
  const double weights = kBfp8 * Llama8b::kMatmulWeights + kBf16 * Llama8b::kEmbedding;
  EXPECT_NEAR(bytes.at("weights").get<double>() / weights, 1.0, 0.02);
  // Keys and values of 8 users; its format depends on the preset: bfp8 keeps BFLOAT8_B or bfloat16.
  const double cache = 2 * Llama8b::kLayers * Llama8b::kKv * 8 * 1024;
  const double kv_bytes = bytes.at("kv_cache").get<double>() / cache;
  EXPECT_NEAR(kv_bytes, kv_bytes > 1.5 ? kBf16 : kBfp8, 0.02 * kBfp8);
  EXPECT_LT(report.at("peak_bytes"), report.at("capacity_bytes"));
  EXPECT_GT(bytes.at("activations"), 0);
}

TEST(Plan, FindsAConfigurationByItsBareName) {
  const auto by_name = report_of(run_tessera({"plan", "llama-3.2-1b", "--json"}));
  auto by_path = report_of(run_tessera({"plan", kConfigs + "llama-3.2-1b.json", "--json"}));
  by_path["config"] = "llama-3.2-1b";
  EXPECT_EQ(by_name, by_path);
}

TEST(Plan, PrintsATable) {
  const ProgramRun fits = plan({"--precision", "bfp8"});
  EXPECT_EQ(fits.exit_code, 0);
  EXPECT_EQ(fits.error, "");
  for (const char* part : {"weights", "KV cache", "activations", "capacity", "It fits."}) {
    EXPECT_THAT(fits.output, HasSubstr(part));
  }
  EXPECT_THAT(plan({"--precision", "bf16"}).output, HasSubstr("It does not fit: [allocate]"));
}

TEST(Plan, AgreesWithAllDefaultsOfACheckpoint) {
  const TinyFolder folder;
  const auto report = report_of(run_tessera({"plan", folder.path(), "--batch", "32", "--json"}));
  EXPECT_EQ(report.at("context"), 64);
  EXPECT_EQ(report.at("prompt_length"), 64);
  EXPECT_EQ(report.at("batch"), 32);
}

} // namespace
} // namespace tessera::test
