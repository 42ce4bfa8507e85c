#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/regex.hpp"

namespace tessera::tokenizer {

/// What happens to the matches when a text is split at them.
enum class SplitBehavior {
  REMOVED,              // "the-end" at "-" gives the, end
  ISOLATED,             // the, -, end
  MERGED_WITH_PREVIOUS, // the-, end
  MERGED_WITH_NEXT,     // the, -end
  CONTIGUOUS,           // as ISOLATED, but matches in a row stay together
};

/// The behavior that a file names, such as "MergedWithPrevious". Throws InvalidArgument for another string.
SplitBehavior split_behavior(const JsonNode& node);

/// Splits a text of `size` bytes at `matches` (in order, not overlapping). With `invert`, what lies between the matches
/// is treated as the matches are. Returns the parts in order, none empty.
std::vector<Range> split(std::size_t size, std::span<const Range> matches, SplitBehavior behavior, bool invert = false);

} // namespace tessera::tokenizer
