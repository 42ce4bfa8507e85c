#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/models/load.hpp"
#include "tessera/nn/data_parallel.hpp"
#include "tessera/spec/board_spec.hpp"

namespace tessera::models {

/// How the chips of a board are shared out: `dp` copies of a model, each on a submesh of rows x columns chips that
/// share its layers.
struct Parallelism {
  std::int64_t dp = 1;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  nn::TensorParallelScheme scheme = nn::TensorParallelScheme::LINE;

  std::int64_t tp() const { return rows * columns; }
  /// Copies that the board has chips for.
  std::int64_t most_copies(const BoardSpec& board) const { return board.chips() / tp(); }
  /// The part of the board that one copy runs on.
  BoardSpec submesh_of(BoardSpec board) const;
};

/// "dp 4, tp 2", "dp 1, tp 2x4".
std::string to_string(const Parallelism& parallelism);

/// The submesh for a tensor parallelism as a user writes it: "4" is a line of so many chips, "2x4" a grid of that shape
/// (nn::TensorParallelScheme). Throws InvalidArgument for text that is neither, and for shapes that the board cannot be
/// cut into, naming those that it can.
Parallelism parse_tensor_parallelism(const BoardSpec& board, const std::string& text);

/// The lines that the board can be cut into, from one chip on, whose chips can share the model's heads.
std::vector<Parallelism> tensor_parallelisms(const BoardSpec& board, const nn::DecoderConfig& config);

/// Throws InvalidArgument, naming what works on the board, unless the chips of a copy can share the model's heads and
/// all copies have their chips.
void check_parallelism(const Parallelism& parallelism, const BoardSpec& board, const nn::DecoderConfig& config);

/// Puts copies of a model on the submeshes of a mesh, in row-major order: the first is converted, the others share its
/// weights' host memory. options.max_users are those of all copies. Errors as in load and check_parallelism.
std::unique_ptr<nn::DataParallel> load_copies(const std::shared_ptr<runtime::MeshDevice>& mesh,
                                              const checkpoint::Checkpoint& checkpoint, const LoadOptions& options,
                                              const Parallelism& parallelism);

} // namespace tessera::models
