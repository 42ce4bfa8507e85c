#include <fmt/format.h>

#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/spec/board_spec.hpp"

namespace tessera::cli {
namespace {

nlohmann::json to_json(const BoardSpec& board) {
  const ArchSpec& arch = board.arch;
  return {{"name", board.name},
          {"product", board.product},
          {"arch", arch.name},
          {"chips", board.chips()},
          {"mesh_shape", {board.mesh_rows, board.mesh_columns}},
          {"worker_grid", {arch.worker_rows, arch.worker_columns}},
          {"clock_hz", arch.clock_hz},
          {"l1_bytes_per_core", arch.l1_bytes_per_core},
          {"l1_usable_bytes_per_chip", arch.l1_bytes()},
          {"dram_banks", arch.dram_banks},
          {"dram_bytes_per_bank", arch.dram_bytes_per_bank},
          {"dram_bytes_per_chip", arch.dram_bytes()},
          {"dram_bytes_per_s", arch.dram_bytes_per_s},
          {"links_per_neighbour", board.links_per_neighbour},
          {"link_bytes_per_s", board.link_bytes_per_s},
          {"hop_latency_ns", board.hop_latency_ns}};
}

std::string row_of(const BoardSpec& board) {
  const ArchSpec& arch = board.arch;
  const std::string links = board.links_per_neighbour == 0 ? "-"
                                                           : fmt::format("{} x {:.1f} GB/s", board.links_per_neighbour,
                                                                         board.link_bytes_per_s / 1e9);
  return fmt::format("{:<8} {:<12} {:>5} {:>5} {:>6} {:>10.2f} {:>12.2f} {:>10.0f} {:>9.1f} {:>14}  {}\n", board.name,
                     arch.name, board.chips(), fmt::format("{}x{}", board.mesh_rows, board.mesh_columns),
                     fmt::format("{}x{}", arch.worker_rows, arch.worker_columns), arch.clock_hz / 1e9,
                     static_cast<double>(arch.dram_bytes()) / 1e9, arch.dram_bytes_per_s / 1e9,
                     static_cast<double>(arch.l1_bytes()) / 1e6, links, board.product);
}

int run(const JsonOutput& json) {
  nlohmann::json report = nlohmann::json::array();
  std::string table =
      fmt::format("{:<8} {:<12} {:>5} {:>5} {:>6} {:>10} {:>12} {:>10} {:>9} {:>14}  {}\n", "board", "arch", "chips",
                  "mesh", "grid", "clock, GHz", "DRAM, GB", "DRAM, GB/s", "L1, MB", "Ethernet", "product");
  for (const BoardSpec& board : boards()) {
    report.push_back(to_json(board));
    table += row_of(board);
  }
  table += "DRAM, L1 and grid are those of one chip that programs can use; rates are the data sheets' peaks.\n";
  json.write({{"boards", report}});
  if (!json.on_standard_output()) write_standard_output(table);
  return 0;
}

} // namespace

Command devices_command() {
  return {.name = "devices",
          .summary = "The boards that Tessera knows and their figures",
          .examples =
              "Examples:\n"
              "  tessera devices\n"
              "  tessera devices --json",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto json = std::make_shared<JsonOutput>();
            json->add(app, "The boards");
            return [json] { return run(*json); };
          }};
}

} // namespace tessera::cli
