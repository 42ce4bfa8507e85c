#include "tessera/bringup/reference.hpp"

#include <algorithm>
#include <cmath>

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

void require_finite_logits(const tensor::HostTensor& logits, std::string_view command) {
  const std::int64_t rows = logits.shape.volume() / logits.shape[-1];
  std::int64_t bad = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto values = logits.row(row);
    bad += std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }) ? 0 : 1;
  }
  base::require(bad == 0,
                "[{}] finite logits of the reference are required; {} of {} positions have NaN or infinity; the "
                "checkpoint's weights are to blame: see tessera bringup --stages baseline",
                command, bad, rows);
}

} // namespace tessera::bringup
