#pragma once

#include <string>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/spec/decomposition.hpp"

namespace tessera::ops {

/// A tile's number inside loops: a constant plus multiples of their turns.
class TileNumber {
 public:
  TileNumber(std::int64_t offset = 0) : offset_(static_cast<std::int32_t>(offset)) {} // NOLINT: a number is one
  static TileNumber turn_of(int loop) {
    TileNumber number;
    number.strides_[static_cast<std::size_t>(loop)] = 1;
    return number;
  }
  friend TileNumber operator+(TileNumber x, const TileNumber& y) {
    x.offset_ += y.offset_;
    for (std::size_t d = 0; d < x.strides_.size(); ++d) x.strides_[d] += y.strides_[d];
    return x;
  }
  friend TileNumber operator*(TileNumber x, std::int64_t factor) {
    const auto by = static_cast<std::int32_t>(factor);
    x.offset_ *= by;
    for (std::int32_t& stride : x.strides_) stride *= by;
    return x;
  }

  TileReference of(std::int32_t buffer) const { return {buffer, offset_, strides_}; }

 private:
  std::int32_t offset_;
  std::array<std::int32_t, kMostLoops> strides_{};
};

/// Tiles that a kernel reads or writes.
class TilesAt {
 public:
  explicit TilesAt(std::int32_t number) : number_(number) {}
  TileReference operator[](const TileNumber& tile) const { return tile.of(number_); }

 private:
  std::int32_t number_;
};

/// Turns of a loop that only the work knows: its i-th count.
struct CountOfWork {
  int number = 0;
};

/// Writes a decomposition down as a compute kernel is written. Buffers are numbered in the order in which they are
/// declared, which is the order of TileIo's readers and writers.
class KernelBuilder {
 public:
  explicit KernelBuilder(const ComputeConfig& compute) { result_.compute = compute; }

  /// Tiles with the rows of the work.
  TilesAt input(std::string name, DataType dtype) {
    return declare({std::move(name), TileBuffer::Role::INPUT, dtype, 1, true});
  }
  /// Tiles of 32 rows.
  TilesAt input_tile(std::string name, DataType dtype) {
    return declare({std::move(name), TileBuffer::Role::INPUT, dtype, 1, false});
  }
  TilesAt intermediate(std::string name, DataType dtype, std::int64_t tiles) {
    return declare({std::move(name), TileBuffer::Role::INTERMEDIATE, dtype, tiles, true});
  }
  TilesAt output(std::string name, DataType dtype) {
    return declare({std::move(name), TileBuffer::Role::OUTPUT, dtype, 1, true});
  }
  /// What intermediate results are packed in: as wide as Dst.
  DataType intermediate_format() const {
    return result_.compute.fp32_dest_acc_en ? DataType::FLOAT32 : DataType::BFLOAT16;
  }

  /// body(turn) is called once. Throws InvalidArgument for loops deeper than kMostLoops.
  template <typename Body>
  void loop(std::int64_t count, Body&& body) {
    base::require(depth_ < kMostLoops,
                  "[kernel builder] at most {} loops inside each other are required; received one more", kMostLoops);
    step({.instruction = TileInstruction::LOOP, .count = count});
    body(TileNumber::turn_of(depth_++));
    --depth_;
    step({.instruction = TileInstruction::END_LOOP});
  }
  template <typename Body>
  void loop(CountOfWork count, Body&& body) {
    loop(-1 - std::int64_t{count.number}, std::forward<Body>(body));
  }

  void acquire() { step({.instruction = TileInstruction::ACQUIRE}); }
  void copy(const TileReference& a, int dst = 0) { step({.instruction = TileInstruction::COPY, .a = a, .dst = dst}); }
  void copy_to_dest(const TileReference& a, int dst = 0) {
    step({.instruction = TileInstruction::COPY, .a = a, .dst = dst, .unpack_to_dest = true});
  }
  void matmul(const TileReference& a, const TileReference& b, int dst = 0) {
    step({.instruction = TileInstruction::MATMUL, .a = a, .b = b, .dst = dst});
  }
  void add(const TileReference& a, const TileReference& b, Broadcast broadcast = Broadcast::NONE) {
    step({.instruction = TileInstruction::ADD, .a = a, .b = b, .broadcast = broadcast});
  }
  void sub(const TileReference& a, const TileReference& b, Broadcast broadcast = Broadcast::NONE) {
    step({.instruction = TileInstruction::SUB, .a = a, .b = b, .broadcast = broadcast});
  }
  void mul(const TileReference& a, const TileReference& b, Broadcast broadcast = Broadcast::NONE) {
    step({.instruction = TileInstruction::MUL, .a = a, .b = b, .broadcast = broadcast});
  }
  void reduce_sum(const TileReference& a, const TileReference& scaler, ReduceDim dim = ReduceDim::ROW) {
    step({.instruction = TileInstruction::REDUCE_SUM, .a = a, .b = scaler, .dim = dim});
  }
  void reduce_max(const TileReference& a, ReduceDim dim = ReduceDim::ROW) {
    step({.instruction = TileInstruction::REDUCE_MAX, .a = a, .dim = dim});
  }
  void function(TileFunction function, float scalar = 1.0F, int dst = 0) {
    step({.instruction = TileInstruction::FUNCTION, .dst = dst, .function = function, .scalar = scalar});
  }
  void binary_function(TileFunction function, int dst = 0, int other = 1) {
    step({.instruction = TileInstruction::BINARY_FUNCTION, .dst = dst, .dst_other = other, .function = function});
  }
  void pack(const TileReference& to, int dst = 0) { step({.instruction = TileInstruction::PACK, .a = to, .dst = dst}); }
  void pack_accumulate(const TileReference& to) {
    step({.instruction = TileInstruction::PACK, .a = to, .accumulate = true});
  }

  Decomposition finish() { return std::move(result_); }

 private:
  TilesAt declare(TileBuffer buffer) {
    result_.buffers.push_back(std::move(buffer));
    return TilesAt(static_cast<std::int32_t>(result_.buffers.size()) - 1);
  }
  void step(const TileStep& step) { result_.steps.push_back(step); }

  Decomposition result_;
  int depth_ = 0;
};

} // namespace tessera::ops
