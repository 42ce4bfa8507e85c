#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tessera/runtime/program.hpp"
#include "tessera/spec/board_spec.hpp"
#include "tessera/spec/decomposition.hpp"

namespace tessera::ops {

/// A part of an op's work that one run of its compute kernel does: some rows of a matrix. What its readers and writers
/// find their tiles by.
struct ExactWork {
  std::int64_t chip = 0;
  std::int64_t index = 0; ///< of the unit
  std::int64_t matrix = 0;
  std::int64_t row = 0;    ///< the first one
  std::int64_t rows = 0;   ///< that are not padding: any number, since the units compute rows one by one. 0: no work
  std::int64_t column = 0; ///< of tiles, where a unit has one
  std::byte* scratch = nullptr;         ///< the program's, on this chip
  std::array<std::int64_t, 2> counts{}; ///< for loops whose turns only the work knows
};

/// Data movement around a compute kernel, by the numbers of its buffers. A reader fills a tile with fp32 patterns of
/// the stored values: the rows of the work, or all 32 rows, 32 values each. A writer gets the rows of the work as the
/// packer rounded them.
struct TileIo {
  using Reader = std::function<void(const ExactWork& work, std::int64_t tile, float* out)>;
  using Writer = std::function<void(const ExactWork& work, std::int64_t tile, const float* values)>;
  std::vector<Reader> read; ///< of the inputs, in the order of their declaration
  Writer write;             ///< of the one output
};

/// Runs a compute kernel on one part of the work, bit for bit as the card does. Throws what the readers throw.
void run_exact(const Decomposition& kernel, const ArchSpec& arch, const ExactWork& work, const TileIo& io);

/// A stage of `units` parts; place(work) says which rows the part work.index of work.chip is.
runtime::Stage exact_stage(std::shared_ptr<const Decomposition> kernel, const ArchSpec& arch, std::int64_t units,
                           std::function<void(ExactWork& work)> place, TileIo io);

} // namespace tessera::ops
