#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/cli/board_file.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/bringup/ops/op_replay.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string file;
  std::string board;
  std::string numerics;
  int threads = 0;
  JsonOutput json;
};

const char* name_of(runtime::Numerics numerics) {
  return numerics == runtime::Numerics::EXACT ? "exact" : "native";
}

nlohmann::json to_json(const bringup::OpFigures& figures) {
  return {{"output", figures.output},
          {"chip", figures.chip},
          {"pcc", figures.pcc},
          {"pcc_limit", figures.pcc_limit},
          {"max_abs_error", figures.max_abs_error},
          {"relative_frobenius_error", figures.relative_frobenius_error},
          {"relative_frobenius_limit", figures.relative_frobenius_limit},
          {"passed", figures.passed}};
}

std::string row(const char* when, const bringup::OpFigures& figures) {
  return fmt::format("{:<6} {:<12} {:>12.6g} {:>12.6g}  {:>12.8f}  {:>12.6g}  {}\n", when, figures.output,
                     figures.relative_frobenius_error, figures.relative_frobenius_limit, figures.pcc,
                     figures.max_abs_error, figures.passed ? "passed" : "BELOW");
}

int run(const Options& options) {
  const bringup::OpCase saved = bringup::load_case(options.file);
  BoardSpec board = options.board.empty() ? bringup::board_of(saved) : find_board(options.board);
  board.mesh_rows = saved.mesh_rows;
  board.mesh_columns = saved.mesh_columns;
  const runtime::Numerics numerics = options.numerics.empty() ? saved.numerics : parse_numerics(options.numerics);
  const auto device = runtime::MeshDevice::open({.board = board, .numerics = numerics, .threads = options.threads});
  const bringup::OpCase again = bringup::run_again(*device, saved);
  const bringup::OpFigures then = bringup::judge(saved);
  const bringup::OpFigures now = bringup::judge(again);
  options.json.write({{"op", saved.record.name},
                      {"scope", saved.record.scope},
                      {"saved", to_json(then)},
                      {"replayed", to_json(now)},
                      {"board", board.name},
                      {"numerics", name_of(numerics)}});
  if (!options.json.on_standard_output()) {
    write_standard_output(fmt::format(
        "{} in {}, {} numerics, chip {} of a {}\n\n{:<6} {:<12} {:>12} {:>12}  {:>12}  "
        "{:>12}\n{}{}",
        saved.record.name, saved.record.scope.empty() ? "the model" : saved.record.scope, name_of(numerics), then.chip,
        board.name, "", "output", "rel. error", "limit", "PCC", "max abs", row("saved", then), row("now", now)));
  }
  return now.passed ? EXIT_OK : EXIT_NO;
}

} // namespace

Command replay_op_command() {
  return {.name = "replay-op",
          .summary = "Runs an op that --compare-ops saved again, and compares it again",
          .examples =
              "Prints the op's figures as they were saved and as they are now; exit code 1 where the op is still\n"
              "below its threshold.\n\n"
              "Examples:\n"
              "  tessera generate demo --prompt \"Alice\" --compare-ops\n"
              "  tessera replay-op op-57-linear.safetensors\n"
              "  tessera replay-op op-57-linear.safetensors --numerics exact",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            app.add_option("FILE", options->file, "What --compare-ops saved")->required();
            app.add_option("--board", options->board, "Virtual board, or a JSON file; default: where the op ran");
            app.add_option("--numerics", options->numerics, "native or exact; default: as the op ran");
            app.add_option("--threads", options->threads, "Host threads; 0: one for each hardware thread")
                ->capture_default_str();
            options->json.add(app, "Both figures");
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
