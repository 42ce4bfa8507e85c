#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// Adds special tokens around the ids of a text. Immutable.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual void apply(std::vector<std::int32_t>& ids) const = 0;
};

/// Builds the post-processor of a tokenizer.json; nullptr for a null node. Known: Sequence, ByteLevel (which touches
/// offsets only, so does nothing here), TemplateProcessing. Throws Unsupported for others, InvalidArgument for wrong
/// fields.
std::unique_ptr<PostProcessor> make_post_processor(const JsonNode& node);

} // namespace tessera::tokenizer
