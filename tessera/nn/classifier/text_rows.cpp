#include "tessera/nn/classifier/text_rows.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/base/error.hpp"

namespace tessera::nn {

using tensor::HostTensor;

HostTensor pack_texts(std::span<const TextTokens> texts, std::int32_t padding_id) {
  std::size_t length = 0;
  for (const TextTokens& text : texts) length = std::max(length, text.ids.size());
  base::require(length > 0, "[pack_texts] one text or more with tokens are required; received {}", texts.size());
  HostTensor inputs{{std::ssize(texts), kTextRows, static_cast<std::int64_t>(length)}, {}};
  inputs.data.reserve(texts.size() * kTextRows * length);
  const auto append = [&](const auto& values, float padding) {
    inputs.data.insert(inputs.data.end(), values.begin(), values.end());
    inputs.data.insert(inputs.data.end(), length - values.size(), padding);
  };
  for (const TextTokens& text : texts) {
    base::require(text.ids.size() == text.types.size() && !text.ids.empty(),
                  "[pack_texts] a text must have tokens, and a type for each; received {} and {}", text.ids.size(),
                  text.types.size());
    append(text.ids, static_cast<float>(padding_id));
    append(std::vector<float>(text.ids.size(), 1.0F), 0.0F);
    append(text.types, 0.0F);
  }
  return inputs;
}

void require_texts(std::string_view model, const HostTensor& inputs, std::int64_t vocab_size,
                   std::int64_t max_positions, std::int64_t type_vocab_size) {
  const Shape& shape = inputs.shape;
  base::require(shape.rank() == 3 && shape[0] > 0 && shape[1] == kTextRows && shape[2] > 0,
                "[{}] texts must be [N, {}, S]; received {}", model, kTextRows, shape);
  base::require(shape[2] <= max_positions,
                "[{}] texts of at most {} tokens (max_position_embeddings) are possible; received {}; shorten them",
                model, max_positions, shape[2]);
  const auto check = [&](std::int64_t row, const char* name, std::int64_t below) {
    for (std::int64_t item = 0; item < shape[0]; ++item) {
      for (const float value : text_row(inputs, item, row)) {
        base::require(0.0F <= value && value < static_cast<float>(below) && value == std::trunc(value),
                      "[{}] {} must be whole numbers in 0..{}; received {} in text {}", model, name, below - 1, value,
                      item);
      }
    }
  };
  check(kIdsRow, "input_ids", vocab_size);
  check(kMaskRow, "attention_mask", 2);
  check(kTypesRow, "token_type_ids", type_vocab_size);
}

} // namespace tessera::nn
