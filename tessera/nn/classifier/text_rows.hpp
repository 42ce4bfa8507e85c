#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::nn {

/// Rows of a text in a classifier's inputs [N, kTextRows, S], whole numbers all: token ids, 1 for tokens and 0 for
/// padding, which text each token is of. What transformers calls input_ids, attention_mask, token_type_ids.
inline constexpr std::int64_t kTextRows = 3;
inline constexpr std::int64_t kIdsRow = 0;
inline constexpr std::int64_t kMaskRow = 1;
inline constexpr std::int64_t kTypesRow = 2;
/// The values of one row.
inline std::span<const float> text_row(const tensor::HostTensor& inputs, std::int64_t item, std::int64_t row) {
  const std::int64_t length = inputs.shape[2];
  return std::span(inputs.data)
      .subspan(static_cast<std::size_t>((item * kTextRows + row) * length), static_cast<std::size_t>(length));
}

/// Token ids of one text, and which text each is of.
struct TextTokens {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> types;
};
/// Texts side by side, the shorter ones padded at their end by `padding_id`. Throws InvalidArgument unless types are as
/// many as ids, and for no texts or an empty one.
tensor::HostTensor pack_texts(std::span<const TextTokens> texts, std::int32_t padding_id);

/// What is wrong with inputs of a model with these sizes; throws InvalidArgument, `model` in front: another shape, more
/// than `max_positions` tokens, ids and types outside the vocabularies, a mask of other values than 0 and 1.
void require_texts(std::string_view model, const tensor::HostTensor& inputs, std::int64_t vocab_size,
                   std::int64_t max_positions, std::int64_t type_vocab_size);

} // namespace tessera::nn
