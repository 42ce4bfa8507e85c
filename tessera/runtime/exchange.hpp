#pragma once

#include <cstdint>
#include <vector>

#include "tessera/runtime/communicator.hpp"
#include "tessera/runtime/host_bytes.hpp"

namespace tessera::runtime {

class MeshDevice;

/// Plans what ranks give each other so that the bytes of some chips are there where a program needs them: in the place
/// of that chip's memory, which every rank has. With one rank nothing is planned.
class Exchange {
 public:
  /// For a buffer of `size` bytes on each chip.
  Exchange(const MeshDevice& device, const HostBytes& bytes, std::int64_t size);

  /// The chip's bytes are needed where `reader` is computed.
  void bring(std::int64_t chip, std::int64_t reader);
  /// On all ranks.
  void bring_to_all(std::int64_t chip);

  Messages take() { return std::move(messages_); }

 private:
  void bring_to_rank(std::int64_t chip, int rank);
  bool rank_has(int rank, std::int64_t block) const;

  const MeshDevice& device_;
  HostBytes bytes_;
  std::int64_t size_;
  Messages messages_;
  std::vector<std::pair<std::int64_t, int>> brought_; // block and rank
};

} // namespace tessera::runtime
