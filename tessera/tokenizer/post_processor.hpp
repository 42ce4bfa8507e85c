#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tessera/tokenizer/encoding.hpp"
#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// Adds special tokens around the ids of one text or two. Immutable.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// `texts` holds one or two; where special tokens are added, they become one. Throws InvalidArgument for two where
  /// there is no template for them.
  virtual void apply(std::vector<Encoding>& texts) const = 0;
  /// All ids that it may add.
  virtual std::vector<std::int32_t> added_ids() const = 0;
};

/// Builds the post-processor of a tokenizer.json; nullptr for a null node. Known: Sequence, ByteLevel (which touches
/// offsets only, so does nothing here), TemplateProcessing, BertProcessing. Throws Unsupported for others,
/// InvalidArgument for wrong fields.
std::unique_ptr<PostProcessor> make_post_processor(const JsonNode& node);

} // namespace tessera::tokenizer
