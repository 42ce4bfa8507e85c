#include "tessera/bringup/compare.hpp"

#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string first;
  std::string second;
  bringup::CompareOptions limits;
  JsonOutput json;
};

int run(const Options& options) {
  const bringup::Comparison comparison = bringup::compare_runs(options.first, options.second, options.limits);
  options.json.write(bringup::to_json(comparison));
  if (!options.json.on_standard_output()) write_standard_output(bringup::to_table(comparison));
  return comparison.regressed() ? EXIT_NO : EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("RUN_A", options.first, "The folder of the run before")->required();
  app.add_option("RUN_B", options.second, "The folder of the run after")->required();
  app.add_option("--pcc-tolerance", options.limits.pcc, "PCC may fall by so much")->capture_default_str();
  app.add_option("--tolerance", options.limits.relative,
                 "Errors, divergences and perplexities may grow, predicted speeds fall by this part")
      ->capture_default_str();
  app.add_option("--share-tolerance", options.limits.share, "Top-1, top-5 and other shares may fall by so much")
      ->capture_default_str();
  app.add_option("--time-tolerance", options.limits.time,
                 "Speeds of this host may fall, times grow by this part; 0: they are told, and are no regressions")
      ->capture_default_str();
  options.json.add(app, "The comparison");
}

} // namespace

Command compare_command() {
  return {.name = "compare",
          .summary = "What changed between two bring-ups: verdicts, figures, texts; fails on a regression",
          .examples =
              "Exit code 1 when a stage or a row fails that passed, a figure is worse by more than its tolerance, or\n"
              "something is gone.\n"
              "Whether the runs are of the same checkpoint, precision and settings is said first.\n\n"
              "Examples:\n"
              "  tessera compare build/report-before build/report-after\n"
              "  tessera compare report-accuracy report-performance --json",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
