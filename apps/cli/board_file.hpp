#pragma once

#include <string>

#include "tessera/spec/board_spec.hpp"

namespace tessera::cli {

/// A board by its name, or as a JSON file (a name that ends in .json) describes it: `like` names the board that it
/// starts from, the other keys replace what they name: `name`, `product`, `mesh` [rows, columns], `worker_grid` [rows,
/// columns], `dram_banks`, `dram_bytes_per_bank`, `dram_bytes_per_s`, `l1_bytes_per_core`, `clock_hz`,
/// `links_per_neighbour`, `link_bytes_per_s`, `hop_latency_ns`. Throws IoError for a file that cannot be read,
/// InvalidArgument for unknown boards and keys and for values that no board has.
BoardSpec find_board(const std::string& name_or_file);
bool is_board_file(const std::string& name_or_file);

} // namespace tessera::cli
