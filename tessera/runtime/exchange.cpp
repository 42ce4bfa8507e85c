#include "tessera/runtime/exchange.hpp"

#include <algorithm>

#include "tessera/runtime/mesh_device.hpp"

namespace tessera::runtime {

Exchange::Exchange(const MeshDevice& device, const HostBytes& bytes, std::int64_t size)
    : device_(device), bytes_(bytes), size_(size) {}

void Exchange::bring(std::int64_t chip, std::int64_t reader) {
  bring_to_rank(chip, device_.rank_of(reader));
}

void Exchange::bring_to_all(std::int64_t chip) {
  for (int rank = 0; rank < device_.ranks(); ++rank) bring_to_rank(chip, rank);
}

bool Exchange::rank_has(int rank, std::int64_t block) const {
  for (std::int64_t chip = 0; chip < device_.chips(); ++chip) {
    if (device_.rank_of(chip) == rank && bytes_.sharing.block(chip) == block) return true;
  }
  return false;
}

void Exchange::bring_to_rank(std::int64_t chip, int rank) {
  const int owner = device_.rank_of(chip);
  if (owner == rank) return;
  const std::pair brought(bytes_.sharing.block(chip), rank);
  if (rank_has(rank, brought.first) || std::ranges::find(brought_, brought) != brought_.end()) return;
  brought_.push_back(brought);
  if (owner == device_.rank()) messages_.sends.push_back({rank, bytes_.of(chip), size_});
  if (rank == device_.rank()) messages_.receives.push_back({owner, bytes_.of(chip), size_});
}

} // namespace tessera::runtime
