#include "apps/cli/classifier_inputs.hpp"

#include <algorithm>
#include <random>

#include "tessera/base/error.hpp"
#include "tessera/nn/classifier/text_rows.hpp"

namespace tessera::cli {
namespace {

tensor::HostTensor read_pixels(const checkpoint::SafeTensors& file, const std::string& name) {
  const checkpoint::TensorView view = file.at("pixel_values");
  const bool floats = view.dtype == checkpoint::StorageType::F32 || view.dtype == checkpoint::StorageType::F16 ||
                      view.dtype == checkpoint::StorageType::BF16;
  base::require(floats && view.shape.size() == 4 && view.num_elements() > 0,
                "[forward] pixel_values must be F32, F16 or BF16 of shape [N, C, H, W]; {} has {} {}", name,
                checkpoint::to_string(view.dtype), checkpoint::shape_to_string(view.shape));
  return {Shape(view.shape), checkpoint::to_float(view)};
}

/// `key` of `file`, or what it is when absent.
std::vector<std::int64_t> read_row(const checkpoint::SafeTensors& file, const char* key,
                                   const std::vector<std::int64_t>& shape, std::int64_t absent,
                                   const std::string& name) {
  if (!file.contains(key)) return std::vector<std::int64_t>(static_cast<std::size_t>(shape[0] * shape[1]), absent);
  const checkpoint::TensorView view = file.at(key);
  base::require(!checkpoint::is_floating_point(view.dtype) && view.shape == shape,
                "[forward] {} must be I64 of shape {}, as input_ids; {} has {} {}", key,
                checkpoint::shape_to_string(shape), name, checkpoint::to_string(view.dtype),
                checkpoint::shape_to_string(view.shape));
  return checkpoint::to_int64(view);
}

tensor::HostTensor read_texts(const checkpoint::SafeTensors& file, const std::string& name) {
  const checkpoint::TensorView ids = file.at("input_ids");
  base::require(ids.shape.size() == 2 && ids.num_elements() > 0,
                "[forward] input_ids must be I64 of shape [N, S], both at least 1; {} has {} {}", name,
                checkpoint::to_string(ids.dtype), checkpoint::shape_to_string(ids.shape));
  const std::vector<std::int64_t> rows[nn::kTextRows] = {read_row(file, "input_ids", ids.shape, 0, name),
                                                         read_row(file, "attention_mask", ids.shape, 1, name),
                                                         read_row(file, "token_type_ids", ids.shape, 0, name)};
  const std::int64_t length = ids.shape[1];
  tensor::HostTensor inputs{{ids.shape[0], nn::kTextRows, length}, {}};
  for (std::int64_t item = 0; item < ids.shape[0]; ++item) {
    for (const std::vector<std::int64_t>& row : rows) {
      const auto values = row.begin() + item * length;
      std::transform(values, values + length, std::back_inserter(inputs.data),
                     [](std::int64_t value) { return static_cast<float>(value); });
    }
  }
  return inputs;
}

} // namespace

tensor::HostTensor read_classifier_inputs(const checkpoint::SafeTensors& file, nn::ClassifierInput input,
                                          const std::string& name) {
  return input == nn::ClassifierInput::IMAGES ? read_pixels(file, name) : read_texts(file, name);
}

tensor::HostTensor random_classifier_inputs(const nn::ClassifierInfo& info, std::int64_t count, std::int64_t length,
                                            bool ragged) {
  std::mt19937 random(1);
  if (info.input == nn::ClassifierInput::IMAGES) {
    tensor::HostTensor images{{count, info.channels, info.image_size, info.image_size}, {}};
    images.data.resize(static_cast<std::size_t>(images.shape.volume()));
    std::normal_distribution<float> normal;
    for (float& value : images.data) value = normal(random);
    return images;
  }
  std::vector<nn::TextTokens> texts(static_cast<std::size_t>(count));
  std::uniform_int_distribution<std::int32_t> id(0, static_cast<std::int32_t>(info.vocab_size) - 1);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t tokens = std::max<std::int64_t>(1, ragged ? length - i : length);
    nn::TextTokens& text = texts[static_cast<std::size_t>(i)];
    for (std::int64_t token = 0; token < tokens; ++token) {
      text.ids.push_back(id(random));
      text.types.push_back(2 * token >= tokens && info.type_vocab_size > 1 ? 1 : 0);
    }
  }
  return nn::pack_texts(texts, 0);
}

} // namespace tessera::cli
