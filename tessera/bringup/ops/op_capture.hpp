#pragma once

#include <cstdint>
#include <vector>

#include "tessera/bringup/ops/op_case.hpp"

namespace tessera::bringup {

/// Reads an op's operands from inside an observer's callbacks: inputs before it runs, since it may write into them,
/// outputs after. Of a paged cache it reads the blocks that the op touches, of an embedding's table the rows, and
/// renumbers what names them; all other operands whole.
class OpCapture {
 public:
  OpCapture(const runtime::MeshDevice& device, const OpRecord& record);
  /// The cases, complete: one for a collective, else one for each chip.
  std::vector<OpCase> finish(const runtime::MeshDevice& device, const OpRecord& record);

 private:
  struct Touched {
    std::vector<std::int64_t> blocks; ///< of the cache, ascending
  };
  void read_inputs(const runtime::MeshDevice& device, const OpRecord& record, std::int64_t chip, OpCase& op,
                   Touched& touched);

  std::vector<OpCase> cases_;
  std::vector<Touched> touched_; // of each case
};

} // namespace tessera::bringup
