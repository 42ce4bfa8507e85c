#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tessera/base/file.hpp"
#include "tests/base/temporary_folder.hpp"
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
  for (const char* part : {"weights", "KV cache", "activations", "capacity", "It fits: 1 copy of 1 chip."}) {
    EXPECT_THAT(fits.output, HasSubstr(part));
  }
  EXPECT_THAT(plan({"--precision", "bf16"}).output, HasSubstr("It does not fit: [allocate]"));
}

TEST(Plan, ALoudBoxRunsEightCopiesOfLlama8b) {
  for (const char* board : {"t3000", "loudbox", "quietbox"}) {
    const auto report =
        report_of(run_tessera({"plan", "llama-3.1-8b", "--board", board, "--precision", "bfp8", "--json"}));
    EXPECT_EQ(report.at("fits"), true);
    EXPECT_EQ(report.at("tp"), 1);
    EXPECT_EQ(report.at("dp"), 8);
    EXPECT_EQ(report.at("copies"), 8);
    EXPECT_EQ(report.at("bytes_per_chip").at("collectives"), 0);
  }
}

TEST(Plan, ChipsThatShareAModelHoldAPartOfItsBytesEach) {
  const auto on = [](const char* tp) {
    return report_of(
        run_tessera({"plan", "llama-3.1-8b", "--board", "t3000", "--tp", tp, "--precision", "bfp8", "--json"}));
  };
  const auto one = on("1");
  for (const auto& [tp, chips, copies] : {std::tuple{"2", 2, 4}, {"8", 8, 1}, {"2x4", 8, 1}}) {
    const auto shared = on(tp);
    EXPECT_EQ(shared.at("tp"), chips);
    EXPECT_EQ(shared.at("copies"), copies);
    const double weights = one.at("bytes_per_chip").at("weights");
    // A grid's embedding is cut over its columns alone: each row of chips holds all of it.
    const double repeated = std::string(tp) == "2x4" ? kBf16 * Llama8b::kEmbedding / weights : 0.0;
    EXPECT_NEAR(shared.at("bytes_per_chip").at("weights").get<double>() * chips / weights, 1.0 + repeated, 0.02) << tp;
    EXPECT_GT(shared.at("bytes_per_chip").at("collectives"), 0);
  }
}

TEST(Plan, ATooLargeModelGetsTheFewestChipsOrSmallerSizesByName) {
  const auto on = [](const char* board) {
    return run_tessera({"plan", "llama-3.1-70b", "--board", board, "--precision", "bfp8", "--json"});
  };
  const auto galaxy = report_of(on("galaxy"));
  EXPECT_EQ(galaxy.at("tp"), 8);
  EXPECT_EQ(galaxy.at("copies"), 4);
  const ProgramRun n300 = on("n300");
  EXPECT_EQ(n300.exit_code, 1);
  const auto report = nlohmann::json::parse(n300.output);
  EXPECT_EQ(report.at("fits"), false);
  EXPECT_EQ(report.at("copies"), 0);
  EXPECT_THAT(report.at("smaller_sizes_that_fit").dump(), HasSubstr("llama-3.1-8b (8.0 B)"));
}

TEST(Plan, AsksEveryBoard) {
  const auto report =
      report_of(run_tessera({"plan", "llama-3.1-8b", "--board", "all", "--precision", "bfp8", "--json"}));
  std::vector<std::string> names;
  for (const auto& board : report.at("boards")) {
    names.push_back(board.at("board"));
    EXPECT_EQ(board.at("fits"), true);
  }
  EXPECT_THAT(names, ::testing::ElementsAre("n150", "n300", "t3000", "galaxy", "p150"));
  // The guide: a chip of 12 GB holds about 12 B parameters in BFP8.
  EXPECT_NEAR(report.at("boards").at(0).at("largest_parameter_count").at("BFLOAT8_B").get<double>(), 12e9, 0.5e9);
  EXPECT_THAT(run_tessera({"plan", "llama-3.1-8b", "--board", "all"}).output, HasSubstr("galaxy"));
}

TEST(Plan, TakesABoardOfTheUsersOwn) {
  const TemporaryFolder folder;
  const auto plan_on = [&](const std::string& text) {
    return run_tessera(
        {"plan", "llama-3.1-8b", "--precision", "bfp8", "--json", "--board", folder.write("b.json", text)});
  };
  const auto report = report_of(plan_on(R"({"like": "n300", "name": "two-n300", "mesh": [2, 2]})"));
  EXPECT_EQ(report.at("board"), "two-n300");
  EXPECT_EQ(report.at("copies"), 4);
  EXPECT_EQ(report_of(plan_on(R"({"like": "n150", "dram_bytes_per_bank": 2143643584})")).at("capacity_bytes"),
            12 * std::int64_t{2143643584});
  for (const auto& [text, said] : {std::pair{R"({"mesh": [2, 2]})", "like"},
                                   {R"({"like": "n151"})", "n150, n300"},
                                   {R"({"like": "n150", "mesh": [2]})", "[rows, columns]"},
                                   {R"({"like": "n150", "mesh": [0, 2]})", "mesh"},
                                   {R"({"like": "n150", "dram_banks": "many"})", "dram_banks"},
                                   {R"({"like": "n150", "chips": 4})", "keys that no board has: chips"},
                                   {R"([1])", "a JSON object"},
                                   {R"({"like": )", "b.json"}}) {
    const ProgramRun run = plan_on(text);
    EXPECT_NE(run.exit_code, 0) << text;
    EXPECT_THAT(run.error, HasSubstr(said)) << text;
    EXPECT_EQ(std::count(run.error.begin(), run.error.end(), '\n'), 1) << run.error;
  }
  EXPECT_THAT(run_tessera({"plan", "llama-3.1-8b", "--board", "absent.json"}).error, HasSubstr("absent.json"));
}

TEST(Plan, AgreesWithAllDefaultsOfACheckpoint) {
  const TinyFolder folder;
  const auto report = report_of(run_tessera({"plan", folder.path(), "--batch", "32", "--json"}));
  EXPECT_EQ(report.at("context"), 64);
  EXPECT_EQ(report.at("prompt_length"), 64);
  EXPECT_EQ(report.at("batch"), 32);
}

TEST(Plan, PredictsTheTimeOfBothPhases) {
  const auto report = report_of(plan({"--precision", "bfp8", "--context", "1024", "--prompt-length", "128", "--json"}));
  const auto& prefill = report.at("prefill");
  const auto& decode = report.at("decode");
  EXPECT_GT(prefill.at("ttft_ms"), 0);
  EXPECT_GT(decode.at("tokens_per_s_user"), 0);
  EXPECT_EQ(decode.at("tokens_per_s"), decode.at("tokens_per_s_user")); // one user
  for (const auto& phase : {prefill, decode}) {
    EXPECT_EQ(phase.at("predicted"), true);
    EXPECT_GT(phase.at("error"), 0);
    EXPECT_THAT(phase.at("release").get<std::string>(), HasSubstr("TT-NN"));
    ASSERT_FALSE(phase.at("ops").empty());
    for (const auto& op : phase.at("ops")) {
      EXPECT_NE(op.at("bound"), "") << op;
      EXPECT_LE(op.at("roofline"), 1.0) << op;
    }
  }
  const std::string text = plan({"--precision", "bfp8", "--context", "1024"}).output;
  for (const char* part : {"Predicted for the card", "time to first token", "tokens/s/user", "bound by", "roofline"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(Plan, PredictsAlsoWhatDoesNotFit) {
  const ProgramRun run = plan({"--precision", "bf16", "--json"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_GT(nlohmann::json::parse(run.output).at("decode").at("tokens_per_s_user"), 0);
}

TEST(Plan, MapsMemoryOverTime) {
  const TemporaryFolder folder;
  const std::string picture = (folder.path() / "map.svg").string();
  const std::vector<std::string> arguments{
      "plan", kConfigs + "llama-3.2-1b.json", "--prompt-length", "128", "--layers", "2", "--memory-map", picture};
  const ProgramRun run = run_tessera(arguments);
  EXPECT_EQ(run.exit_code, 0) << run.error;
  for (const char* part :
       {"over time", "prefill", "decode", "held at the peak of DRAM", "held at the peak of L1", "layers.*."})
    EXPECT_THAT(run.output, HasSubstr(part));
  const std::string svg = base::read_file(picture, 10 << 20);
  EXPECT_THAT(svg, HasSubstr("DRAM of a chip"));
  EXPECT_THAT(svg, HasSubstr("</svg>"));

  std::vector<std::string> as_json = arguments;
  as_json.insert(as_json.end(), {"--json"});
  const auto map = report_of(run_tessera(as_json)).at("memory_map");
  ASSERT_EQ(map.at("phases").size(), 2U);
  for (const char* memory : {"dram", "l1"}) {
    const auto& history = map.at(memory);
    const auto used = history.at("used_bytes").get<std::vector<std::int64_t>>();
    EXPECT_EQ(*std::max_element(used.begin(), used.end()), history.at("peak_bytes")) << memory;
    std::int64_t held = 0;
    for (const auto& [name, bytes] : history.at("held_bytes").items()) held += bytes.get<std::int64_t>();
    EXPECT_EQ(held, history.at("peak_bytes")) << memory;
  }
  const ProgramRun many = run_tessera({"plan", kConfigs + "llama-3.2-1b.json", "--board", "all", "--memory-map"});
  EXPECT_EQ(many.exit_code, 2);
  EXPECT_THAT(many.error, HasSubstr("--memory-map is of one board"));
}

TEST(Plan, MapsTheMemoryOfAClassifiersForwardPass) {
  const auto map =
      report_of(run_tessera({"plan", kConfigs + "vit-base.json", "--memory-map", "--json"})).at("memory_map");
  EXPECT_EQ(map.at("phases").at(0).at("name"), "forward");
  EXPECT_GT(map.at("dram").at("peak_bytes"), 86'000'000);
  EXPECT_GT(map.at("l1").at("circular_buffer_bytes").size(), 100U);
}

TEST(Plan, OfAClassifierThatDoesNotFitTellsWhatItWouldNeed) {
  const TemporaryFolder folder;
  const std::string picture = (folder.path() / "map.svg").string();
  const std::string board =
      folder.write("board.json", R"({"like": "n150", "name": "small", "dram_bytes_per_bank": 100000000})");
  const std::vector<std::string> arguments{"plan",
                                           kConfigs + "bert-base-uncased.json",
                                           "--board",
                                           board,
                                           "--batch",
                                           "400",
                                           "--prompt-length",
                                           "512",
                                           "--memory-map",
                                           picture};
  const ProgramRun run = run_tessera(arguments);
  EXPECT_EQ(run.exit_code, 1) << run.error;
  EXPECT_THAT(run.output, HasSubstr("400 texts of 512 tokens on each of 1 chips"));
  EXPECT_THAT(run.output, HasSubstr("It does not fit: ["));
  EXPECT_THAT(run.output, HasSubstr("With room for it:\nPredicted"));
  EXPECT_THAT(base::read_file(picture, 10 << 20), HasSubstr("</svg>"));

  std::vector<std::string> as_json = arguments;
  as_json.emplace_back("--json");
  const auto report = nlohmann::json::parse(run_tessera(as_json).output);
  EXPECT_EQ(report.at("fits"), false);
  EXPECT_GT(report.at("bytes_per_chip").at("weights"), 100'000'000); // 109 M parameters
  EXPECT_GT(report.at("peak_bytes"), report.at("bytes_per_chip").at("weights"));
  EXPECT_EQ(report.at("capacity_bytes"), report.at("memory_map").at("dram").at("capacity_bytes"));
  EXPECT_EQ(report.at("capacity_bytes"), 1'200'000'000);
  EXPECT_GT(report.at("forward").at("texts_per_s"), 0);
}

TEST(Plan, OfClassifiersTellsTheirMemoryAndSpeed) {
  for (const char* name : {"resnet-50", "vit-base"}) {
    const auto report = report_of(run_tessera({"plan", kConfigs + name + ".json", "--batch", "8", "--json"}));
    EXPECT_EQ(report.at("fits"), true);
    EXPECT_EQ(report.at("batch"), 8);
    EXPECT_GT(report.at("bytes_per_chip").at("weights"), 25'000'000); // 25.6 M and 86 M parameters
    EXPECT_GT(report.at("bytes_per_chip").at("activations"), 0);
    EXPECT_GT(report.at("forward").at("images_per_s"), 0);
    EXPECT_EQ(report.at("forward").at("predicted"), true);
  }
  const auto texts = report_of(
      run_tessera({"plan", kConfigs + "bert-base-uncased.json", "--batch", "4", "--prompt-length", "64", "--json"}));
  EXPECT_EQ(texts.at("fits"), true);
  EXPECT_EQ(texts.at("tokens"), 64);
  EXPECT_GT(texts.at("forward").at("texts_per_s"), 0);
  const ProgramRun wrong = run_tessera({"plan", kConfigs + "vit-base.json", "--tp", "2", "--board", "n300"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.error, HasSubstr("--tp"));
}

} // namespace
} // namespace tessera::test
