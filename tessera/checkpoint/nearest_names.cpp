#include "tessera/checkpoint/nearest_names.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera::checkpoint {
namespace {

// Names come from files: a hostile one may be megabytes long or bring millions of them. The search stays under a
// second.
constexpr std::size_t kComparedLength = 128;
constexpr std::size_t kComparedNames = 20000;

/// Levenshtein distance with one row of memory.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

} // namespace

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                       std::size_t count) {
  std::vector<std::pair<std::size_t, std::size_t>> ranked; // distance, index
  for (std::size_t i = 0; i < std::min(candidates.size(), kComparedNames); ++i) {
    const std::string_view candidate = std::string_view(candidates[i]).substr(0, kComparedLength);
    ranked.emplace_back(edit_distance(name.substr(0, kComparedLength), candidate), i);
  }
  count = std::min(count, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count), ranked.end());
  std::vector<std::string> nearest;
  for (std::size_t i = 0; i < count; ++i) nearest.push_back(candidates[ranked[i].second]);
  return nearest;
}

} // namespace tessera::checkpoint
