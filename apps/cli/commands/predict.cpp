#include <fmt/format.h>

#include <array>
#include <charconv>
#include <memory>

#include "apps/cli/board_file.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/perfmodel/matmul.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string matmul;
  std::string dtype = "bfloat16";
  std::string fidelity; ///< empty: the dtype's
  std::string board = "n150";
  std::string in0;  ///< empty: L1 where it fits and the cut is tuned
  std::string grid; ///< empty: the shape's
  bool tuned = false;
  bool use_default = false;
  bool trace = false;
  JsonOutput json;
};

/// Numbers of "a<separator>b<separator>...", each 1 to 2^20.
template <std::size_t N>
std::array<std::int64_t, N> parse_extents(const char* option, const char* form, const std::string& text,
                                          char separator) {
  std::array<std::int64_t, N> extents{};
  const char* at = text.data();
  const char* const end = at + text.size();
  constexpr std::int64_t kMost = std::int64_t{1} << 20;
  bool good = true;
  for (std::size_t i = 0; good && i < N; ++i) {
    const auto [next, error] = std::from_chars(at, end, extents[i]);
    good = error == std::errc() && extents[i] >= 1 && extents[i] <= kMost &&
           (i + 1 == N ? next == end : next != end && *next == separator);
    at = good && i + 1 < N ? next + 1 : next;
  }
  base::require(good, "[predict] {} must be {}, each 1 to {}; received \"{}\"", option, form, kMost, text);
  return extents;
}

DataType parse_dtype(const std::string& name) {
  constexpr std::array known{std::pair{"bfloat16", DataType::BFLOAT16}, std::pair{"bfloat8_b", DataType::BFLOAT8_B},
                             std::pair{"bfloat4_b", DataType::BFLOAT4_B}};
  for (const auto& [known_name, dtype] : known) {
    if (name == known_name || name == to_string(dtype)) return dtype;
  }
  throw base::InvalidArgument(
      fmt::format("[predict] --dtype must be bfloat16, bfloat8_b or bfloat4_b; received \"{}\"", name));
}

MathFidelity parse_fidelity(const Options& options, DataType dtype) {
  if (options.fidelity.empty()) return default_compute_config(dtype).math_fidelity;
  for (const MathFidelity fidelity :
       {MathFidelity::LoFi, MathFidelity::HiFi2, MathFidelity::HiFi3, MathFidelity::HiFi4}) {
    if (options.fidelity == to_string(fidelity)) return fidelity;
  }
  throw base::InvalidArgument(
      fmt::format("[predict] --fidelity must be LoFi, HiFi2, HiFi3 or HiFi4; received \"{}\"", options.fidelity));
}

perfmodel::Grid grid_of(const Options& options, const perfmodel::MatmulProblem& problem, const ArchSpec& arch) {
  if (options.grid.empty()) return perfmodel::natural_grid(problem.m, problem.k, problem.n, arch);
  const auto [rows, columns] = parse_extents<2>("--grid", "ROWSxCOLUMNS", options.grid, 'x');
  base::require(rows <= arch.worker_rows && columns <= arch.worker_columns,
                "[predict] --grid must be within {}x{} cores; received {}", arch.worker_rows, arch.worker_columns,
                options.grid);
  return {rows, columns};
}

perfmodel::MatmulProblem problem_of(const Options& options, const ArchSpec& arch) {
  base::require(!(options.tuned && options.use_default), "[predict] one of --tuned and --default; received both");
  base::require(options.in0.empty() || options.in0 == "dram" || options.in0 == "l1",
                "[predict] --in0 must be dram or l1; received \"{}\"", options.in0);
  const auto [m, k, n] = parse_extents<3>("--matmul", "M,K,N", options.matmul, ',');
  const DataType dtype = parse_dtype(options.dtype);
  perfmodel::MatmulProblem problem{.m = m,
                                   .k = k,
                                   .n = n,
                                   .dtype = dtype,
                                   .in0_dtype = dtype,
                                   .output_dtype = dtype,
                                   .fidelity = parse_fidelity(options, dtype),
                                   .tuned = !options.use_default};
  problem.grid = grid_of(options, problem, arch);
  problem.in0_in_l1 = options.in0.empty() ? problem.tuned && perfmodel::fits_in_l1(problem, arch) : options.in0 == "l1";
  base::require(!problem.in0_in_l1 || problem.tuned,
                "[predict] --in0 l1 is for tuned matmuls: ttnn.matmul's own choice was measured with operands in DRAM; "
                "received --default; leave out one of them");
  return problem;
}

nlohmann::json report_of(const Options& options, const BoardSpec& board, const perfmodel::MatmulProblem& problem,
                         const perfmodel::Prediction& prediction) {
  const perfmodel::MatmulConfig config = perfmodel::configure(problem, board.arch);
  const double flops =
      2.0 * static_cast<double>(problem.m) * static_cast<double>(problem.k) * static_cast<double>(problem.n);
  return {{"predicted", true},
          {"time_ns", prediction.time_ns},
          {"bound", to_string(prediction.bound)},
          {"cycles", prediction.cycles},
          {"bytes", prediction.dram_bytes},
          {"tflops", flops / prediction.time_ns / 1e3},
          {"roofline", prediction.roofline()},
          {"ideal_ns", prediction.ideal_ns},
          {"error", prediction.error},
          {"time_ns_low", prediction.time_ns * (1 - prediction.error)},
          {"time_ns_high", prediction.time_ns * (1 + prediction.error)},
          {"release", perfmodel::constants().release},
          {"board", board.name},
          {"m", problem.m},
          {"k", problem.k},
          {"n", problem.n},
          {"dtype", to_string(problem.dtype)},
          {"fidelity", to_string(problem.fidelity)},
          {"tuned", problem.tuned},
          {"trace", options.trace},
          {"in0", problem.in0_in_l1 ? "l1" : "dram"},
          {"grid", {problem.grid.rows, problem.grid.columns}},
          {"cores", config.cores},
          {"in0_block_w", config.in0_block_w},
          {"out_blocks", {config.out_blocks_h, config.out_blocks_w}},
          {"subblock", {config.subblock_h, config.subblock_w}}};
}

std::string text_of(const nlohmann::json& report) {
  return fmt::format(
      "{} x {} x {} in {} at {} on {}, {}, {}, operand {}\n\n"
      "predicted time {:>14.2f} us, half of such predictions within {:.0f} %\n"
      "bound by       {:>14}\n"
      "cycles         {:>14.0f}\n"
      "DRAM bytes     {:>14}\n"
      "TFLOP/s        {:>14.2f}\n"
      "roofline       {:>14.0f} %\n\n"
      "Predicted for the card, of {}; nothing was run on one.\n",
      report["m"].get<std::int64_t>(), report["k"].get<std::int64_t>(), report["n"].get<std::int64_t>(),
      report["dtype"].get<std::string>(), report["fidelity"].get<std::string>(), report["board"].get<std::string>(),
      report["tuned"].get<bool>() ? "tuned" : "ttnn.matmul's own choice",
      report["trace"].get<bool>() ? "traced" : "untraced", report["in0"].get<std::string>(),
      report["time_ns"].get<double>() / 1e3, report["error"].get<double>() * 100, report["bound"].get<std::string>(),
      report["cycles"].get<double>(), report["bytes"].get<std::int64_t>(), report["tflops"].get<double>(),
      report["roofline"].get<double>() * 100, report["release"].get<std::string>());
}

int run(const Options& options) {
  const BoardSpec board = find_board(options.board);
  const perfmodel::MatmulProblem problem = problem_of(options, board.arch);
  const auto launch = options.trace ? perfmodel::Launch::TRACED : perfmodel::Launch::UNTRACED;
  const nlohmann::json report = report_of(
      options, board, problem, perfmodel::predict_matmul(problem, board.arch, launch, perfmodel::constants()));
  options.json.write(report);
  if (!options.json.on_standard_output()) write_standard_output(text_of(report));
  return EXIT_OK;
}

} // namespace

Command predict_command() {
  return {
      .name = "predict",
      .summary = "How long a single op takes on the card, predicted",
      .examples =
          "A model fitted on published timings (docs/performance-model.md); nothing is run. Without --trace: the\n"
          "time of one call among many from the host, as the published tables measure it.\n\n"
          "Examples:\n"
          "  tessera predict --matmul 2048,2048,2048 --dtype bfloat8_b --fidelity HiFi2 --board n150 --trace\n"
          "  tessera predict --matmul 640,1664,1664 --dtype bfloat16 --board p150 --default --json",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("--matmul", options->matmul, "M,K,N of a product MxK times KxN")->required();
        app.add_option("--dtype", options->dtype, "Format of operands and result: bfloat16, bfloat8_b, bfloat4_b")
            ->capture_default_str();
        app.add_option("--fidelity", options->fidelity, "LoFi, HiFi2, HiFi3 or HiFi4; by default the dtype's");
        app.add_option("--board", options->board, "A board (tessera devices), or a JSON file")->capture_default_str();
        app.add_flag("--tuned", options->tuned, "Blocks chosen for the shape (the default)");
        app.add_flag("--default", options->use_default, "What ttnn.matmul chooses by itself");
        app.add_option("--in0", options->in0,
                       "Where the MxK operand and the result lie: l1 (block sharded) or dram; by default l1 where "
                       "a tuned matmul fits, else dram");
        app.add_option("--grid", options->grid,
                       "Cores, ROWSxCOLUMNS; by default the board's, or fewer columns "
                       "where these divide the shape");
        app.add_flag("--trace", options->trace, "Calls replayed from a trace");
        options->json.add(app, "The prediction");
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
