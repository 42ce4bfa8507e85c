#include "apps/cli/op_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/board_file.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/bringup/ops/op_comparison.hpp"

namespace tessera::cli {
namespace {

/// A process runs one command, whose devices' queues may still hold the observer when the command's own objects are
/// gone.
struct State {
  std::vector<const CLI::Option*> options; ///< of all commands
  std::string folder;                      ///< "": the default one
  std::string default_folder = ".";
  std::string board_file; ///< of the devices; "": the board is built in
  double strictness = 1.0;
  std::unique_ptr<bringup::OpComparison> comparison;

  bool wanted() const {
    return std::ranges::any_of(options, [](const CLI::Option* option) { return option->count() > 0; });
  }
};

State& state() {
  static State own;
  return own;
}

void print_kinds(const bringup::OpComparison& comparison) {
  std::vector<const std::pair<const std::string, bringup::OpComparison::Kind>*> kinds;
  for (const auto& kind : comparison.kinds()) kinds.push_back(&kind);
  std::stable_sort(kinds.begin(), kinds.end(), [](const auto* a, const auto* b) {
    return a->second.worst.figures.severity() > b->second.worst.figures.severity();
  });
  write_note(fmt::format("  {:<42} {:>7} {:>6}  {:>12} {:>10}  {:>10}  {:>11}  {}", "worst of each op", "ops", "below",
                         "rel. error", "limit", "PCC", "max abs", "where"));
  for (const auto* entry : kinds) {
    const bringup::OpComparison::Kind& kind = entry->second;
    const bringup::OpFigures& figures = kind.worst.figures;
    write_note(fmt::format("  {:<42} {:>7} {:>6}  {:>12.3g} {:>10.3g}  {:>10.8f}  {:>11.3g}  {}", entry->first,
                           kind.count, kind.below, figures.relative_frobenius_error, figures.relative_frobenius_limit,
                           figures.pcc, figures.max_abs_error,
                           kind.worst.scope.empty() ? "the model" : kind.worst.scope));
  }
}

void print_first_below(const bringup::OpComparison& comparison) {
  const bringup::OpRow& row = *comparison.first_below();
  const bringup::OpFigures& figures = row.figures;
  write_note(fmt::format("compare-ops: the first below its threshold is op {}, {} in {}, {} on chip {} of {}",
                         row.number, row.name, row.scope.empty() ? "the model" : row.scope, figures.output,
                         figures.chip, row.device));
  write_note(
      fmt::format("  relative Frobenius error {:.6g} (at most {:.6g}), PCC {:.8f} (at least {:.8f}), max abs "
                  "error {:.6g}",
                  figures.relative_frobenius_error, figures.relative_frobenius_limit, figures.pcc, figures.pcc_limit,
                  figures.max_abs_error));
  if (!comparison.save_failure().empty())
    write_note(fmt::format("  its operands could not be saved: {}", comparison.save_failure()));
  if (comparison.saved().empty()) return;
  const std::string& board = state().board_file;
  write_note(fmt::format("  its operands lie in {0}; run it again: tessera replay-op {0}{1}",
                         comparison.saved().string(), board.empty() ? "" : " --board " + board));
}

} // namespace

void OpWatch::add_options(CLI::App& app) {
  // Without "=DIR" the value is empty, which no folder's name is.
  CLI::Option* const option =
      app.add_flag("--compare-ops{}", state().folder,
                   "After each op compute the reference's op on the same inputs; the first one below its threshold is "
                   "named and saved for replay-op, in the current folder (bringup: in --report) or --compare-ops=DIR")
          ->type_name("[=DIR]");
  state().options.push_back(option);
  app.add_option("--compare-ops-strictness", state().strictness,
                 "Thresholds of --compare-ops are divided by this; above 1: to save an op that is well")
      ->type_name("FACTOR");
}

void OpWatch::set_default_folder(const std::filesystem::path& folder) {
  state().default_folder = folder.string();
}

void OpWatch::attach(runtime::MeshDevice& device, const std::string& board) {
  State& own = state();
  if (!own.wanted()) return;
  own.board_file = is_board_file(board) ? board : "";
  base::require<base::Unsupported>(!Ranks::several(),
                                   "[compare-ops] one process that runs all chips is required; received {} ranks; "
                                   "start it without mpirun",
                                   device.ranks());
  if (own.comparison == nullptr) {
    const std::string folder = own.folder.empty() ? own.default_folder : own.folder;
    own.comparison = std::make_unique<bringup::OpComparison>(
        bringup::OpComparisonOptions{.folder = folder, .keep_rows = false, .strictness = own.strictness});
  }
  device.remove_observer(*own.comparison); // where it watches already
  device.add_observer(*own.comparison);
}

int OpWatch::finish(int exit_code) {
  if (state().comparison == nullptr) {
    if (state().wanted()) write_note("compare-ops: no model ran on a device");
    return exit_code;
  }
  const bringup::OpComparison& comparison = *state().comparison;
  write_note(fmt::format("compare-ops: {} ops beside the reference's on the same inputs, {} below their thresholds",
                         comparison.compared(), comparison.below()));
  print_kinds(comparison);
  for (const auto& [what, count] : comparison.skipped())
    write_note(fmt::format("  not compared, {} x {}", count, what));
  if (comparison.below() == 0) return exit_code;
  print_first_below(comparison);
  return exit_code == EXIT_OK ? EXIT_NO : exit_code;
}

} // namespace tessera::cli
