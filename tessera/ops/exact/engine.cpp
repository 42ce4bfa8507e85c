#include "tessera/ops/exact/engine.hpp"

#include <algorithm>
#include <span>

#include "tessera/kernels/kernels.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/packer.hpp"
#include "tessera/numerics/vector_function.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

using numerics::DstFormat;
using Words = std::vector<std::uint32_t>;

constexpr std::int64_t kHalf = kTileHeight / 2;
constexpr std::uint32_t kLowest = 0xFF800000; // below everything in the order of GMPOOL

const float* as_floats(const std::uint32_t* words) {
  return reinterpret_cast<const float*>(words);
}

/// Memory that a thread keeps from one run to the next.
struct Memory {
  Words buffers; // intermediate tiles
  Words dst;     // [dst tile][row][32]
  Words a;       // operands
  Words b;
  Words source_a; // the same as source registers hold them
  Words source_b;
  Words column; // a column of tiles, transposed
};

void grow(Words& words, std::int64_t count) {
  if (static_cast<std::int64_t>(words.size()) < count) words.resize(static_cast<std::size_t>(count));
}

numerics::ArchKind arch_kind(const ArchSpec& arch) {
  return arch.name == "blackhole" ? numerics::ArchKind::BLACKHOLE : numerics::ArchKind::WORMHOLE;
}

class Engine {
 public:
  Engine(const Decomposition& kernel, const ArchSpec& arch, const ExactWork& work, const TileIo& io, Memory& memory)
      : kernel_(kernel),
        work_(work),
        io_(io),
        memory_(memory),
        rows_(work.rows),
        tile_words_(round_up(rows_, kTileHeight) * kTileWidth),
        unit_{.dst = kernel.compute.fp32_dest_acc_en ? DstFormat::FLOAT32 : DstFormat::BFLOAT16,
              .cancellation_fault = arch_kind(arch) == numerics::ArchKind::WORMHOLE},
        vector_{arch_kind(arch), unit_.dst, kernel.compute.math_approx_mode},
        mode_{.phases = numerics::fidelity_phases(kernel.compute.math_fidelity),
              .dst_is_16_bit = unit_.dst == DstFormat::BFLOAT16,
              .cancellation_fault = unit_.cancellation_fault},
        vector_mode_{.wormhole = arch_kind(arch) == numerics::ArchKind::WORMHOLE,
                     .dst_is_16_bit = mode_.dst_is_16_bit,
                     .approximate = vector_.approximate} {
    std::int64_t words = 0;
    std::size_t inputs = 0;
    for (const TileBuffer& buffer : kernel.buffers) {
      first_word_.push_back(words);
      input_of_.push_back(inputs);
      inputs += buffer.role == TileBuffer::Role::INPUT ? 1 : 0;
      if (buffer.role == TileBuffer::Role::INTERMEDIATE) words += buffer.tiles * tile_words_;
    }
    grow(memory.buffers, words);
    int dst_tiles = 1;
    for (const TileStep& step : kernel.steps) dst_tiles = std::max({dst_tiles, step.dst + 1, step.dst_other + 1});
    fresh_.assign(static_cast<std::size_t>(dst_tiles), true);
    grow(memory.dst, dst_tiles * tile_words_);
    const std::int64_t operand = std::max(tile_words_, kTileElements);
    for (Words* words_of : {&memory.a, &memory.b, &memory.source_a, &memory.source_b}) grow(*words_of, operand);
    grow(memory.column, kTileElements);
  }

  void run() { run_from(0, 0); }

 private:
  /// Runs steps from `at` on to the end of the loop that they are in; returns the number of the step behind.
  std::size_t run_from(std::size_t at, std::size_t depth) {
    while (at < kernel_.steps.size()) {
      const TileStep& step = kernel_.steps[at];
      if (step.instruction == TileInstruction::END_LOOP) return at + 1;
      if (step.instruction != TileInstruction::LOOP) {
        execute(step);
        ++at;
        continue;
      }
      const std::int64_t turns = step.count >= 0 ? step.count : work_.counts[static_cast<std::size_t>(-1 - step.count)];
      std::size_t behind = at + 1;
      for (turns_[depth] = 0; turns_[depth] < turns; ++turns_[depth]) behind = run_from(at + 1, depth + 1);
      at = turns > 0 ? behind : end_of_loop(at);
      turns_[depth] = 0;
    }
    return at;
  }
  std::size_t end_of_loop(std::size_t at) const {
    int open = 0;
    do {
      open += kernel_.steps[at].instruction == TileInstruction::LOOP ? 1 : 0;
      open -= kernel_.steps[at].instruction == TileInstruction::END_LOOP ? 1 : 0;
      ++at;
    } while (open > 0);
    return at;
  }

  const TileBuffer& buffer(const TileReference& tile) const {
    return kernel_.buffers[static_cast<std::size_t>(tile.buffer)];
  }
  std::int64_t number(const TileReference& tile) const {
    std::int64_t result = tile.offset;
    for (std::size_t d = 0; d < turns_.size(); ++d) result += tile.strides[d] * turns_[d];
    return result;
  }
  std::uint32_t* stored(const TileReference& tile) {
    return memory_.buffers.data() + first_word_[static_cast<std::size_t>(tile.buffer)] + number(tile) * tile_words_;
  }
  std::int64_t words_of(const TileReference& tile) const {
    return buffer(tile).rows_of_work ? rows_ * kTileWidth : kTileElements;
  }

  /// A tile's values: where they are, or read into `memory`.
  const std::uint32_t* values(const TileReference& tile, Words& memory) {
    if (buffer(tile).role != TileBuffer::Role::INPUT) return stored(tile);
    io_.read[input_of_[static_cast<std::size_t>(tile.buffer)]](work_, number(tile),
                                                               reinterpret_cast<float*>(memory.data()));
    return memory.data();
  }
  /// The same as a source register holds them: only FLOAT32 changes.
  const std::uint32_t* source(const TileReference& tile, Words& memory, Words& truncated) {
    const std::uint32_t* const words = values(tile, memory);
    if (buffer(tile).dtype != DataType::FLOAT32) return words;
    const std::int64_t count = words_of(tile);
    for (std::int64_t i = 0; i < count; ++i)
      truncated[static_cast<std::size_t>(i)] = unit_.to_source(numerics::float_from_bits(words[i]));
    return truncated.data();
  }
  std::uint32_t* dst(int tile) { return memory_.dst.data() + tile * tile_words_; }

  void execute(const TileStep& step) {
    switch (step.instruction) {
      case TileInstruction::ACQUIRE:
        std::fill_n(memory_.dst.data(), static_cast<std::int64_t>(fresh_.size()) * tile_words_, 0U);
        fresh_.assign(fresh_.size(), true);
        return;
      case TileInstruction::COPY:
        copy(step);
        break;
      case TileInstruction::MATMUL:
        kernels::kernels().matrix_unit_tile(mode_, source(step.a, memory_.a, memory_.source_a), kTileWidth, rows_,
                                            source(step.b, memory_.b, memory_.source_b), dst(step.dst), kTileWidth);
        break;
      case TileInstruction::ADD:
      case TileInstruction::SUB:
      case TileInstruction::MUL:
        element_wise(step);
        break;
      case TileInstruction::REDUCE_SUM:
        reduce_sum(step);
        break;
      case TileInstruction::REDUCE_MAX:
        reduce_max(step);
        break;
      case TileInstruction::FUNCTION:
        kernels::kernels().vector_unit_function(vector_mode_, step.function, step.scalar, rows_ * kTileWidth,
                                                dst(step.dst));
        break;
      case TileInstruction::BINARY_FUNCTION:
        for (std::int64_t i = 0; i < rows_ * kTileWidth; ++i)
          dst(step.dst)[i] = numerics::apply(vector_, step.function, dst(step.dst)[i], dst(step.dst_other)[i]);
        break;
      case TileInstruction::PACK:
        return pack(step);
      case TileInstruction::LOOP:
      case TileInstruction::END_LOOP:
        return;
    }
    fresh_[static_cast<std::size_t>(step.dst)] = false;
  }

  void copy(const TileStep& step) {
    const std::uint32_t* const from =
        step.unpack_to_dest ? values(step.a, memory_.a) : source(step.a, memory_.a, memory_.source_a);
    std::uint32_t* const to = dst(step.dst);
    const bool narrow = mode_.dst_is_16_bit;
    for (std::int64_t i = 0; i < rows_ * kTileWidth; ++i) to[i] = narrow ? from[i] & 0xFFFF0000 : from[i];
  }

  /// Operand b is laid out as a first, where it is broadcast.
  const std::uint32_t* spread(const TileStep& step, const std::uint32_t* b) {
    if (step.broadcast == Broadcast::NONE) return b;
    std::uint32_t* const to = memory_.source_b.data();
    if (step.broadcast == Broadcast::COLUMN) {
      for (std::int64_t row = 0; row < rows_; ++row)
        std::fill_n(to + row * kTileWidth, kTileWidth, b[row * kTileWidth]);
      return to;
    }
    std::array<std::uint32_t, kTileWidth> first;
    std::copy_n(b, kTileWidth, first.data());
    if (step.broadcast == Broadcast::SCALAR) first.fill(b[0]);
    for (std::int64_t row = 0; row < rows_; ++row) std::ranges::copy(first, to + row * kTileWidth);
    return to;
  }

  void element_wise(const TileStep& step) {
    const std::uint32_t* const a = source(step.a, memory_.a, memory_.source_a);
    const std::uint32_t* const b = spread(step, source(step.b, memory_.b, memory_.source_b));
    std::uint32_t* const to = dst(step.dst);
    const std::int64_t count = rows_ * kTileWidth;
    const kernels::Kernels& isa = kernels::kernels();
    if (step.instruction == TileInstruction::MUL)
      isa.matrix_unit_multiply(mode_, a, b, count, to);
    else
      isa.matrix_unit_add(mode_, a, b, step.instruction == TileInstruction::SUB ? 0x80000000 : 0, count, to);
  }

  /// The sums of GAPOOL are one row of a matmul whose left operand holds the scaler: faces outside, phases inside.
  void sum_columns(const std::uint32_t* data, std::uint32_t scaler, std::uint32_t* sums) {
    std::array<std::uint32_t, kTileWidth> scalers;
    for (std::int64_t half = 0; half < 2; ++half) {
      scalers.fill(0);
      std::fill_n(scalers.data() + half * kHalf, kHalf, scaler);
      kernels::kernels().matrix_unit_tile(mode_, scalers.data(), kTileWidth, 1, data, sums, kTileWidth);
    }
  }

  void reduce_sum(const TileStep& step) {
    const std::uint32_t* const a = source(step.a, memory_.a, memory_.source_a);
    const std::uint32_t scaler = source(step.b, memory_.b, memory_.source_b)[0];
    std::uint32_t* const to = dst(step.dst);
    if (step.dim == ReduceDim::COL) return sum_columns(a, scaler, to);
    for (std::int64_t first = 0; first < rows_; first += kTileHeight) {
      const std::int64_t rows = std::min(kTileHeight, rows_ - first);
      transpose(a + first * kTileWidth, rows);
      std::array<std::uint32_t, kTileWidth> sums{};
      for (std::int64_t row = 0; row < rows; ++row)
        sums[static_cast<std::size_t>(row)] = to[(first + row) * kTileWidth];
      sum_columns(memory_.column.data(), scaler, sums.data());
      // The row of sums comes back through SrcB, which turns it into a column.
      for (std::int64_t row = 0; row < rows; ++row)
        to[(first + row) * kTileWidth] = through_source(sums[static_cast<std::size_t>(row)]);
    }
  }
  std::uint32_t through_source(std::uint32_t value) const {
    const std::uint32_t kept = unit_.to_source(numerics::float_from_bits(value));
    return (kept & 0x7F800000) == 0 ? 0 : kept;
  }
  void transpose(const std::uint32_t* a, std::int64_t rows) {
    if (rows < kTileHeight) std::ranges::fill(memory_.column, 0U);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < kTileWidth; ++column)
        memory_.column[static_cast<std::size_t>(column * kTileHeight + row)] = a[row * kTileWidth + column];
    }
  }

  void reduce_max(const TileStep& step) {
    const std::uint32_t* const a = source(step.a, memory_.a, memory_.source_a);
    std::uint32_t* const to = dst(step.dst);
    const bool fresh = fresh_[static_cast<std::size_t>(step.dst)]; // cleared rows of Dst take no part
    if (step.dim == ReduceDim::COL) {
      if (fresh) std::fill_n(to, kTileWidth, kLowest);
      for (std::int64_t i = 0; i < kTileElements; ++i) to[i % kTileWidth] = unit_.max(a[i], to[i % kTileWidth]);
      return;
    }
    for (std::int64_t row = 0; row < rows_; ++row) {
      std::uint32_t largest = fresh ? kLowest : to[row * kTileWidth];
      for (std::int64_t i = 0; i < kTileWidth; ++i) largest = unit_.max(a[row * kTileWidth + i], largest);
      to[row * kTileWidth] = through_source(largest);
    }
  }

  void pack(const TileStep& step) {
    const TileBuffer& to = buffer(step.a);
    const auto count = static_cast<std::size_t>(rows_ * kTileWidth);
    const std::span<const std::uint32_t> from(dst(step.dst), count);
    const bool is_output = to.role == TileBuffer::Role::OUTPUT;
    std::uint32_t* const out = is_output || step.accumulate ? memory_.a.data() : stored(step.a);
    numerics::pack_values(unit_.dst, to.dtype, numerics::PackMode::Default, from, {out, count});
    if (step.accumulate) kernels::kernels().l1_accumulate(to.dtype, out, rows_ * kTileWidth, stored(step.a));
    if (is_output) io_.write(work_, number(step.a), as_floats(out));
  }

  const Decomposition& kernel_;
  const ExactWork& work_;
  const TileIo& io_;
  Memory& memory_;
  std::int64_t rows_;
  std::int64_t tile_words_;
  numerics::MatrixUnit unit_;
  numerics::VectorUnit vector_;
  kernels::MatrixUnitMode mode_;
  kernels::VectorUnitMode vector_mode_;
  std::vector<std::int64_t> first_word_; // of each intermediate buffer
  std::vector<std::size_t> input_of_;    // the number of each input among the inputs
  std::vector<bool> fresh_;              // tiles of Dst that nothing was written to since they were acquired
  std::array<std::int64_t, kMostLoops> turns_{};
};

} // namespace

void run_exact(const Decomposition& kernel, const ArchSpec& arch, const ExactWork& work, const TileIo& io) {
  thread_local Memory memory;
  Engine(kernel, arch, work, io, memory).run();
}

runtime::Stage exact_stage(std::shared_ptr<const Decomposition> kernel, const ArchSpec& arch, std::int64_t units,
                           std::function<void(ExactWork& work)> place, TileIo io) {
  return {units,
          [kernel = std::move(kernel), arch, place = std::move(place), io = std::move(io)](const runtime::Unit& unit) {
            ExactWork work{.chip = unit.chip, .index = unit.index, .scratch = unit.scratch};
            place(work);
            if (work.rows > 0) run_exact(*kernel, arch, work, io);
          }};
}

} // namespace tessera::ops
