#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/profile/report.hpp"
#include "tessera/profile/timeline.hpp"
#include "tessera/profile/trace_events.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string file;
  std::string stage;
  std::string svg;
  double from_ms = 0.0;
  double to_ms = 0.0;
  const CLI::Option* has_from = nullptr;
  const CLI::Option* has_to = nullptr;
  JsonOutput json;
};

constexpr double kNsPerMs = 1e6;

std::int64_t to_ns(double ms) {
  return std::llround(ms * kNsPerMs);
}

int run(const Options& options) {
  profile::Profile profile = profile::read_trace_events(options.file);
  if (!options.stage.empty()) profile = profile::within_stage(profile, options.stage);
  const bool whole = options.has_from->empty() && options.has_to->empty();
  const profile::Window window{.from_ns = to_ns(options.from_ms),
                               .to_ns = options.has_to->empty() ? profile.end_ns() : to_ns(options.to_ms)};
  base::require(whole || window.from_ns < window.to_ns,
                "[profile] --from must be before --to and before the end at {:.3f} ms; received --from {} --to {}",
                static_cast<double>(profile.end_ns()) / kNsPerMs, options.from_ms,
                options.has_to->empty() ? "(none)" : fmt::format("{}", options.to_ms));
  if (!options.svg.empty()) {
    const profile::Window shown = whole ? profile::last_part(profile) : window;
    base::write_file_atomically(options.svg, profile::to_svg(profile, shown));
    write_note(fmt::format("the picture lies in {}", options.svg));
  }
  if (!whole) profile = profile::between(profile, window.from_ns, window.to_ns);
  const profile::Report report = profile::make_report(profile);
  options.json.write(profile::to_json(report));
  if (!options.json.on_standard_output()) write_standard_output(profile::to_table(report));
  return EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("FILE", options.file, "A profile that --profile has written")->required();
  app.add_option("--stage", options.stage, "Only what began in this stage: prefill, decode, a stage of the bring-up");
  app.add_option("--svg", options.svg,
                 "Draw a timeline into FILE: --from to --to, else the last three replays or the last 20 ms")
      ->type_name("FILE");
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
              "  tessera profile demo.json --from 20 --to 25 --json\n"
              "  tessera profile demo.json --svg demo.svg",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
