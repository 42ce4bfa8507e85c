#include "tessera/models/parallelism.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "tessera/base/error.hpp"

namespace tessera::models {
namespace {

/// The shape of a line of `chips` on a board: part of one of its rows, or whole rows. No chips when it has none.
Parallelism line_of(const BoardSpec& board, std::int64_t chips) {
  if (chips >= 1 && board.mesh_columns % chips == 0) return {.columns = chips};
  const std::int64_t rows = chips / board.mesh_columns;
  if (rows >= 1 && chips % board.mesh_columns == 0 && board.mesh_rows % rows == 0)
    return {.rows = rows, .columns = board.mesh_columns};
  return {.rows = 0, .columns = 0};
}

std::vector<std::int64_t> lines_of(const BoardSpec& board) {
  std::vector<std::int64_t> lines;
  for (std::int64_t chips = 1; chips <= board.chips(); ++chips) {
    if (line_of(board, chips).tp() > 0) lines.push_back(chips);
  }
  return lines;
}

/// A number from the start of `text`, which it is taken from; 0 when there is none.
std::int64_t take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc()) return 0;
  text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
  return number;
}

} // namespace

BoardSpec Parallelism::submesh_of(BoardSpec board) const {
  board.mesh_rows = rows;
  board.mesh_columns = columns;
  return board;
}

std::string to_string(const Parallelism& parallelism) {
  const bool grid = parallelism.scheme == nn::TensorParallelScheme::GRID;
  return fmt::format(
      "dp {}, tp {}", parallelism.dp,
      grid ? fmt::format("{}x{}", parallelism.rows, parallelism.columns) : std::to_string(parallelism.tp()));
}

Parallelism parse_tensor_parallelism(const BoardSpec& board, const std::string& text) {
  std::string_view rest = text;
  const std::int64_t first = take_number(rest);
  const auto refuse = [&](const std::string& possible) {
    throw base::InvalidArgument(fmt::format("[mesh] --tp must be {} on {} (a mesh of {}x{} chips); received \"{}\"",
                                            possible, board.name, board.mesh_rows, board.mesh_columns, text));
  };
  const std::string lines = fmt::format("one of {} chips in a line", fmt::join(lines_of(board), ", "));
  if (rest.empty()) {
    const Parallelism line = line_of(board, first);
    if (line.tp() == 0) refuse(lines);
    return line;
  }
  if (rest.front() != 'x') refuse(lines + ", or a grid such as 2x4");
  rest.remove_prefix(1);
  const std::int64_t second = take_number(rest);
  if (!rest.empty() || first < 1 || second < 1 || board.mesh_rows % first != 0 || board.mesh_columns % second != 0)
    refuse(lines + ", or a grid RxC whose R and C divide the mesh's rows and columns");
  return {.rows = first, .columns = second, .scheme = nn::TensorParallelScheme::GRID};
}

std::vector<Parallelism> tensor_parallelisms(const BoardSpec& board, const nn::DecoderConfig& config) {
  std::vector<Parallelism> found;
  for (const std::int64_t chips : lines_of(board)) {
    if (nn::heads_divide(config, chips)) found.push_back(line_of(board, chips));
  }
  return found;
}

void check_parallelism(const Parallelism& parallelism, const BoardSpec& board, const nn::DecoderConfig& config) {
  const bool grid = parallelism.scheme == nn::TensorParallelScheme::GRID;
  if (const std::int64_t ways = grid ? parallelism.rows : parallelism.tp(); !nn::heads_divide(config, ways)) {
    std::vector<std::int64_t> lines;
    for (const Parallelism& line : tensor_parallelisms(board, config)) lines.push_back(line.tp());
    std::vector<std::string> grids;
    for (std::int64_t rows = 1; rows <= board.mesh_rows; ++rows) {
      for (std::int64_t columns = 2; columns <= board.mesh_columns; ++columns) {
        if (board.mesh_rows % rows == 0 && board.mesh_columns % columns == 0 && nn::heads_divide(config, rows))
          grids.push_back(fmt::format("{}x{}", rows, columns));
      }
    }
    throw base::InvalidArgument(fmt::format(
        "[mesh] chips that share the {} query heads and {} key-value heads must divide them; received {} of them "
        "({}); on {} these work: --tp {}{}",
        config.heads, config.kv_heads, ways, to_string(parallelism), board.name, fmt::join(lines, ", "),
        grids.empty() ? "" : fmt::format(", or {}", fmt::join(grids, ", "))));
  }
  base::require(1 <= parallelism.dp && parallelism.dp <= parallelism.most_copies(board),
                "[mesh] --dp must be in 1..{} with {} chips for each copy on {}; received {}",
                parallelism.most_copies(board), parallelism.tp(), board.name, parallelism.dp);
}

std::unique_ptr<nn::DataParallel> load_copies(const std::shared_ptr<runtime::MeshDevice>& mesh,
                                              const checkpoint::Checkpoint& checkpoint, const LoadOptions& options,
                                              const Parallelism& parallelism) {
  const BoardSpec& board = mesh->board();
  check_parallelism(parallelism, board, configure(checkpoint));
  LoadOptions of_copy = options;
  of_copy.scheme = parallelism.scheme;
  of_copy.max_users = div_up(options.max_users, parallelism.dp);
  std::vector<std::unique_ptr<nn::DecoderModel>> copies;
  for (std::int64_t number = 0; number < parallelism.dp; ++number) {
    const std::int64_t across = board.mesh_columns / parallelism.columns;
    const auto device = parallelism.tp() == board.chips() ? mesh
                                                          : mesh->create_submesh(parallelism.rows, parallelism.columns,
                                                                                 number / across * parallelism.rows,
                                                                                 number % across * parallelism.columns);
    // Memory is shared within a process: between copies whose chips are of the same ranks.
    const auto original =
        std::ranges::find_if(copies, [&](const auto& copy) { return copy->device().has_ranks_of(*device); });
    of_copy.original = original == copies.end() ? nullptr : original->get();
    copies.push_back(load(device, checkpoint, of_copy));
  }
  return std::make_unique<nn::DataParallel>(std::move(copies));
}

} // namespace tessera::models
