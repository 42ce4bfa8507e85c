#include "tessera/tokenizer/vocabulary.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

void Vocabulary::add(std::string token, std::int32_t id) {
  // Messages are built in the branches only: quoting each token would take a third of the loading time.
  if (const std::string* holder = this->token(id)) {
    throw base::InvalidArgument(
        fmt::format("[tokenizer] an id must name one token; received id {} for both {} and {}; "
                    "correct the file",
                    id, quote(*holder), quote(token)));
  }
  const auto [entry, is_new] = ids_.emplace(std::move(token), id);
  if (!is_new) {
    throw base::InvalidArgument(
        fmt::format("[tokenizer] a token must have one id; received {} and {} for {}; correct "
                    "the file",
                    entry->second, id, quote(entry->first)));
  }
  tokens_.emplace(id, &entry->first);
  max_id_ = std::max(max_id_, id);
}

std::optional<std::int32_t> Vocabulary::id(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::token(std::int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

} // namespace tessera::tokenizer
