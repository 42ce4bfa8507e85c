#include "tessera/nn/text/text_model.hpp"

#include "tessera/base/error.hpp"
#include "tessera/nn/classifier/text_rows.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::nn {
namespace {

/// What a padding token adds to its scores. Far below any score, so that its weight is exactly 0 beside a token's; and
/// finite, also times log2(e), so that a text of padding alone attends to all of it alike, as in transformers.
constexpr float kMaskedScore = -1e29F;

/// One row of all texts, item after item.
std::vector<std::int32_t> integers(const HostTensor& inputs, std::int64_t row) {
  std::vector<std::int32_t> values;
  for (std::int64_t item = 0; item < inputs.shape[0]; ++item) {
    for (const float value : text_row(inputs, item, row)) values.push_back(static_cast<std::int32_t>(value));
  }
  return values;
}

} // namespace

FeatureMap TextModel::allocate_inputs(std::int64_t items_of_copy, std::span<const std::int64_t> extents) const {
  base::require(extents.size() == 2 && items_of_copy > 0 && extents[0] == kTextRows && extents[1] > 0,
                "[{}] texts must be [N, {}, S]; received items of {}", info().family, kTextRows, Shape(extents));
  const std::int64_t length = extents[1];
  base::require(length <= info().max_positions,
                "[{}] texts of at most {} tokens (max_position_embeddings) are possible; received {}; shorten them",
                info().family, info().max_positions, length);
  const TensorSpec integers{{1, 1, items_of_copy * length}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};
  const TensorSpec mask{
      {items_of_copy, 1, 1, round_up(length, kTileHeight)}, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved};
  return {.rows = Tensor::allocate(device(), integers, "input_ids"),
          .items = items_of_copy,
          .extents = {length},
          .types = Tensor::allocate(device(), integers, "token_type_ids"),
          .mask = Tensor::allocate(device(), mask, "attention_mask")};
}

void TextModel::write_inputs(const FeatureMap& memory, const HostTensor& inputs) const {
  require_texts(info().family, inputs, info().vocab_size, info().max_positions, info().type_vocab_size);
  const std::int64_t items = inputs.shape[0];
  const std::int64_t length = inputs.shape[2];
  base::require(length == memory.extents.at(0), "[{}] texts of {} tokens are required; received {}", info().family,
                memory.extents.at(0), length);
  const Shape whole{1, 1, items * length};
  const auto of_copies = over_copies(-1, memory.items * length);
  tensor::write(memory.rows, integers(inputs, kIdsRow), whole, of_copies);
  tensor::write(memory.types, integers(inputs, kTypesRow), whole, of_copies);
  HostTensor mask{memory.mask.shape().with(0, items), {}};
  for (std::int64_t item = 0; item < items; ++item) {
    for (const float kept : text_row(inputs, item, kMaskRow)) mask.data.push_back(kept == 0.0F ? kMaskedScore : 0.0F);
    mask.data.resize(static_cast<std::size_t>((item + 1) * mask.shape[-1]), kMaskedScore);
  }
  const Shape shape = mask.shape;
  tensor::write_rows(memory.mask, tensor::rows_of(std::move(mask)), shape, over_copies(0, memory.items));
}

} // namespace tessera::nn
