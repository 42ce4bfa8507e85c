#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/profile/report.hpp"
#include "tessera/profile/trace_events.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string file;
  std::string stage;
  double from_ms = 0.0;
  double to_ms = 0.0;
  const CLI::Option* has_from = nullptr;
  const CLI::Option* has_to = nullptr;
  JsonOutput json;
};

std::int64_t to_ns(double ms) {
  return std::llround(ms * 1e6);
}

/// The part of the profile that the options name.
profile::Profile selection(const Options& options, profile::Profile profile) {
  if (!options.stage.empty()) profile = profile::within_stage(profile, options.stage);
  if (options.has_from->empty() && options.has_to->empty()) return profile;
  const std::int64_t end_ns = options.has_to->empty() ? profile::kNoEnd : to_ns(options.to_ms);
  base::require(to_ns(options.from_ms) < end_ns, "[profile] --from must be before --to; received --from {} --to {}",
                options.from_ms, options.to_ms);
  return profile::between(profile, to_ns(options.from_ms), end_ns);
}

int run(const Options& options) {
  const profile::Profile profile = selection(options, profile::read_trace_events(options.file));
  const profile::Report report = profile::make_report(profile);
  options.json.write(profile::to_json(report));
  if (!options.json.on_standard_output()) write_standard_output(profile::to_table(report));
  return EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("FILE", options.file, "A profile that --profile has written")->required();
  app.add_option("--stage", options.stage, "Only what began in this stage: prefill, decode, a stage of the bring-up");
  const CLI::Range times(0.0, 1e9);
  options.has_from =
      app.add_option("--from", options.from_ms, "Only what began at this time or later, in ms")->check(times);
  options.has_to = app.add_option("--to", options.to_ms, "Only what began before this time, in ms")->check(times);
  options.json.add(app, "The report");
}

} // namespace

Command profile_command() {
  return {.name = "profile",
          .summary = "Says what a profile shows: ops and what bounds them, gaps, threads, advice",
          .examples =
              "generate, bench and bringup write a profile with --profile FILE.json; Perfetto (ui.perfetto.dev) and\n"
              "chrome://tracing show the same file as a timeline. docs/profile.md explains the figures.\n\n"
              "Examples:\n"
              "  tessera generate demo --prompt \"The Rabbit\" --profile demo.json\n"
              "  tessera profile demo.json --stage decode\n"
              "  tessera profile demo.json --from 20 --to 25 --json",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
