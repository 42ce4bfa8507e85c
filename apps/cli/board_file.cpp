#include "apps/cli/board_file.hpp"

#include <fmt/ranges.h>

#include <filesystem>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::int64_t kMaxChips = 1024;

/// Two extents, or those of the board that this one is like.
void read_extents(const checkpoint::ConfigReader& file, const std::string& key, std::int64_t& rows,
                  std::int64_t& columns) {
  if (!file.has(key)) return;
  const std::vector<std::int64_t> extents = file.integers(key, {.min = 1, .max = kMaxChips});
  if (extents.size() != 2) file.reject(key, "[rows, columns]");
  rows = extents[0];
  columns = extents[1];
}

BoardSpec read_board(const std::filesystem::path& path) {
  const nlohmann::json json = checkpoint::parse_json(base::read_file(path, kMaxBytes), path.string());
  base::require(json.is_object(), "[board] {} must hold a JSON object; received {}", path.string(), json.type_name());
  const checkpoint::ConfigReader file(json, path.string());
  BoardSpec spec = board(file.string("like"));
  spec.name = file.string_or("name", path.stem().string());
  spec.product = file.string_or("product", spec.product);
  read_extents(file, "mesh", spec.mesh_rows, spec.mesh_columns);
  if (spec.chips() > kMaxChips) file.reject("mesh", fmt::format("of at most {} chips", kMaxChips));
  ArchSpec& arch = spec.arch;
  read_extents(file, "worker_grid", arch.worker_rows, arch.worker_columns);
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  arch.dram_banks = file.integer_or("dram_banks", arch.dram_banks, {.min = 1, .max = 1024});
  arch.dram_bytes_per_bank =
      file.integer_or("dram_bytes_per_bank", arch.dram_bytes_per_bank, {.min = 1 << 20, .max = kMost});
  arch.l1_bytes_per_core = file.integer_or("l1_bytes_per_core", arch.l1_bytes_per_core,
                                           {.min = arch.l1_reserved_bytes_per_core + 1, .max = kMost});
  arch.dram_bytes_per_s = file.number_or("dram_bytes_per_s", arch.dram_bytes_per_s, {.min = 1});
  arch.clock_hz = file.number_or("clock_hz", arch.clock_hz, {.min = 1});
  spec.links_per_neighbour = file.integer_or("links_per_neighbour", spec.links_per_neighbour, {.min = 0, .max = 64});
  spec.link_bytes_per_s = file.number_or("link_bytes_per_s", spec.link_bytes_per_s, {.min = 0});
  spec.hop_latency_ns = file.number_or("hop_latency_ns", spec.hop_latency_ns, {.min = 0});
  const std::vector<std::string> unknown = file.unknown_keys();
  base::require(unknown.empty(),
                "[board] {} has keys that no board has: {}; tessera devices --json shows a board's keys", path.string(),
                fmt::join(unknown, ", "));
  return spec;
}

} // namespace

BoardSpec find_board(const std::string& name_or_file) {
  return is_board_file(name_or_file) ? read_board(name_or_file) : board(name_or_file);
}

bool is_board_file(const std::string& name_or_file) {
  return name_or_file.ends_with(".json");
}

} // namespace tessera::cli
