#pragma once

#include <algorithm>
#include <cstdint>

#include "tessera/spec/shape.hpp"

namespace tessera::ops {

/// Elements of one matrix of a tensor.
struct Box {
  std::int64_t matrix = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// Part of a box of an output that comes from one place.
struct Piece {
  std::int64_t place = 0;  ///< of the chip that has it
  Box from;                ///< in that chip's input
  std::int64_t row = 0;    ///< in the box
  std::int64_t column = 0; ///< in the box
};

/// Which element of whose input an element of a chip's output is. An output may be the part of an input that belongs to
/// the chip's place in its group (split), the inputs of all places one after another (concat), or both.
class Arrangement {
 public:
  /// The output is the chip's own input. REQUIRES: rank 2 or more.
  explicit Arrangement(const Shape& input) : input_(input), output_(input) {}
  /// Dimension `dim` of the output is the chip's share of the input's. REQUIRES: `chips` divides it; before concat.
  Arrangement& split(int dim, std::int64_t chips);
  /// Dimension `dim` of the output is that of all places' inputs in their order.
  Arrangement& concat(int dim, std::int64_t chips);

  const Shape& output() const { return output_; }

  /// Calls body(piece) for the pieces of a box of the output of the chip at `place`.
  template <typename Body>
  void for_each_piece(std::int64_t place, const Box& box, const Body& body) const {
    Piece piece{.place = place};
    piece.from.matrix = matrix_of(box.matrix, piece.place);
    const auto rank = static_cast<int>(input_.rank());
    for (piece.row = 0; piece.row < box.rows; piece.row += piece.from.rows) {
      piece.from.rows = run(rank - 2, place, box.row + piece.row, box.rows - piece.row, piece.place, piece.from.row);
      for (piece.column = 0; piece.column < box.columns; piece.column += piece.from.columns) {
        piece.from.columns =
            run(rank - 1, place, box.column + piece.column, box.columns - piece.column, piece.place, piece.from.column);
        body(piece);
      }
    }
  }

 private:
  /// Where element `at` of dimension `dim` of the output comes from: `from_place` changes when the dimension says whose
  /// it is. Returns how many of `count` elements lie there one after another.
  std::int64_t run(int dim, std::int64_t place, std::int64_t at, std::int64_t count, std::int64_t& from_place,
                   std::int64_t& from) const {
    if (dim == concat_dim_) {
      from_place = at / part_;
      at %= part_;
      count = std::min(count, part_ - at);
    }
    from = dim == split_dim_ ? at + place * share_ : at;
    return count;
  }
  std::int64_t matrix_of(std::int64_t matrix, std::int64_t& from_place) const;

  Shape input_;
  Shape output_;
  int split_dim_ = -1;
  std::int64_t share_ = 0; ///< extent of a chip's share
  int concat_dim_ = -1;
  std::int64_t part_ = 0; ///< extent of what comes from one place
};

} // namespace tessera::ops
