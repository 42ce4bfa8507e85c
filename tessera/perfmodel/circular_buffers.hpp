#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/spec/board_spec.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::perfmodel {

/// A ring of pages in L1 through which the kernels of a program hand data on, at the same place on each core.
struct CircularBuffer {
  std::string name; ///< of the operand, or of what stands between two steps
  DataType dtype = DataType::BFLOAT16;
  std::int64_t pages = 0;
  std::int64_t page_bytes = 0; ///< a tile, or as much of a row of a ROW_MAJOR tensor
  /// It lies on a sharded tensor's own memory, and takes none besides.
  bool in_tensor = false;

  std::int64_t bytes() const { return pages * page_bytes; }
};

/// The circular buffers of an op's program, of one core: what TT-NN's program factories ask for at their defaults, with
/// blocks and chunks made smaller until they fit `room` bytes and l1_for_blocks, as those who choose program configs
/// do; more than `room` where the smallest do not. Ops without a rule of their own have the buffers of their
/// decomposition: two pages of each operand, so that one moves while the other is computed on. Source:
/// tenstorrent/tt-metal, the program factories of ttnn/cpp/ttnn/operations (matmul, sdpa, sdpa_decode, layernorm,
/// conv2d, eltwise); docs/memory.md lists the rules.
std::vector<CircularBuffer> circular_buffers(const OpRecord& record, const ArchSpec& arch, std::int64_t room);

/// What blocks and chunks that can be chosen take of a core's L1 at most: all but an eighth, which is left to tensors.
std::int64_t l1_for_blocks(const ArchSpec& arch);

/// Bytes that the buffers take of each core's L1.
std::int64_t l1_bytes(std::span<const CircularBuffer> buffers);

/// For messages: "weight: 228 x 1088 bytes of BFLOAT8_B".
std::string to_string(const CircularBuffer& buffer);

} // namespace tessera::perfmodel
