#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

constexpr int kUnsupported = 5;

/// The figures of bringup's teacher forcing on the demo's text.
nlohmann::json teacher_forcing(const TinyFolder& folder, const std::string& precision) {
  const ProgramRun run =
      run_tessera({"bringup", TESSERA_DEMO, "--stages", "teacher-forcing", "--precision", precision, "--report",
                   folder.file("report"), "--weight-cache", "off", "--threads", "1", "--json"});
  const nlohmann::json report = nlohmann::json::parse(run.output);
  nlohmann::json figures;
  const nlohmann::json& row = report.at("stages").at(0).at("rows").at(0);
  for (const auto& figure : row.at("figures")) figures[figure.at("name").get<std::string>()] = figure.at("value");
  return figures;
}

TEST(TuneDemo, BeatsThePresets) {
  const TinyFolder folder;
  // Fewer groups and measurements than by default: enough, and quick.
  const std::vector<std::string> common{"tune",
                                        TESSERA_DEMO,
                                        "--state",
                                        folder.file("state"),
                                        "--output",
                                        folder.file("tuned.json"),
                                        "--groups",
                                        "wqkv,wo,ff1_3,norm,activation",
                                        "--trials",
                                        "2",
                                        "--front-points",
                                        "2",
                                        "--calibration-tokens",
                                        "512",
                                        "--threads",
                                        "1",
                                        "--json"};
  const ProgramRun run = run_tessera(common);
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json smaller = report_of(run);
  const nlohmann::json& chosen = smaller.at("chosen");
  const nlohmann::json accuracy = teacher_forcing(folder, "accuracy");
  const nlohmann::json found = teacher_forcing(folder, folder.file("tuned.json"));
  EXPECT_LT(chosen.at("weight_bytes_per_token"), smaller.at("base").at("weight_bytes_per_token"));
  EXPECT_GE(found.at("top1"), accuracy.at("top1"));
  EXPECT_LE(found.at("kl_divergence"), accuracy.at("kl_divergence"));
  for (const char* figure : {"top1", "top5", "kl_divergence", "pcc", "positions"})
    EXPECT_EQ(chosen.at("accuracy").at(figure).get<double>(), found.at(figure).get<double>()) << figure;

  std::vector<std::string> within = common;
  within.insert(within.end(), {"--max-bytes", "performance"});
  const nlohmann::json better = report_of(run_tessera(within));
  nlohmann::json performance;
  for (const auto& point : better.at("points"))
    if (point.at("name") == "performance") performance = point;
  EXPECT_LE(better.at("chosen").at("weight_bytes_per_token"), performance.at("weight_bytes_per_token"));
  EXPECT_GT(better.at("chosen").at("accuracy").at("top1"), performance.at("accuracy").at("top1"));
}

} // namespace
} // namespace tessera::test
