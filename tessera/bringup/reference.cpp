#include "tessera/bringup/reference.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::bringup {

std::int64_t Material::longest() const {
  std::size_t most = 0;
  for (const Ids& ids : texts) most = std::max(most, ids.size());
  for (const Ids& ids : prompts) most = std::max(most, ids.size());
  return static_cast<std::int64_t>(most);
}

std::vector<Ids> cut_text(const Ids& ids, std::int64_t length, std::int64_t max_ids) {
  base::require(length >= 2 && max_ids >= 2, "[bringup] a text's sequences must hold at least 2 ids; received {} of {}",
                length, max_ids);
  const std::size_t end = std::min(ids.size(), static_cast<std::size_t>(max_ids));
  std::vector<Ids> sequences;
  for (std::size_t first = 0; first + 1 < end; first += static_cast<std::size_t>(length)) {
    const std::size_t last = std::min(end, first + static_cast<std::size_t>(length));
    sequences.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(first),
                           ids.begin() + static_cast<std::ptrdiff_t>(last));
  }
  return sequences;
}

} // namespace tessera::bringup
