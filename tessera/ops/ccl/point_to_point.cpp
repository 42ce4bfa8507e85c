#include "tessera/ops/ccl/point_to_point.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/ops/ccl/collective.hpp"
#include "tessera/ops/ccl/stages.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/runtime/exchange.hpp"

namespace tessera::ops {
namespace {

std::int64_t chip_at(const BoardSpec& board, std::string_view argument, const MeshCoordinate& at) {
  base::require(0 <= at.row && at.row < board.mesh_rows && 0 <= at.column && at.column < board.mesh_columns,
                "[point_to_point] {} must be in (0..{}, 0..{}); received ({}, {})", argument, board.mesh_rows - 1,
                board.mesh_columns - 1, at.row, at.column);
  return at.row * board.mesh_columns + at.column;
}

std::int64_t distance(std::int64_t from, std::int64_t to, std::int64_t chips, Topology topology) {
  const std::int64_t direct = std::abs(to - from);
  return topology == Topology::Ring ? std::min(direct, chips - direct) : direct;
}

} // namespace

Tensor point_to_point(const Tensor& input_tensor, MeshCoordinate sender, MeshCoordinate receiver,
                      const PointToPointOptions& options) {
  const Collective collective(
      "point_to_point", input_tensor,
      {.topology = options.topology, .num_links = options.num_links, .memory_config = options.memory_config});
  const BoardSpec& board = input_tensor.device().board();
  const std::int64_t from = chip_at(board, "sender_coord", sender);
  const std::int64_t to = chip_at(board, "receiver_coord", receiver);
  if (collective.is_identity()) return input_tensor;
  const Tensor output = collective.allocate(input_tensor.shape());
  const Operand operand{"output", output};
  const std::int64_t bytes = input_tensor.spec().size_bytes();
  const auto body = [in = input_tensor.view(), out = output.view(), from, to](std::int64_t chip, std::int64_t first,
                                                                              std::int64_t count) {
    std::memcpy(out.bytes(chip) + first, in.bytes(chip == to ? from : chip) + first, static_cast<std::size_t>(count));
  };
  const std::int64_t hops = distance(sender.row, receiver.row, board.mesh_rows, options.topology) +
                            distance(sender.column, receiver.column, board.mesh_columns, options.topology);
  runtime::Exchange exchange(input_tensor.device(), input_tensor.host_bytes(), bytes);
  exchange.bring(from, to);
  collective.launch(copy_bytes(bytes, 1, body), exchange.take(), Operands(&operand, 1), {hops == 0 ? 0 : bytes, hops},
                    {{{"sender_coord", fmt::format("[{}, {}]", sender.row, sender.column)},
                      {"receiver_coord", fmt::format("[{}, {}]", receiver.row, receiver.column)}},
                     {},
                     movement()});
  return output;
}

} // namespace tessera::ops
