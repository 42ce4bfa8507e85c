#pragma once

#include <cstdint>

#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/nn/classifier/classifier.hpp"

namespace tessera::cli {

/// What a safetensors file holds for a classifier: `pixel_values` [N, C, H, W], normalised; or `input_ids` [N, S] with,
/// where they are there, `attention_mask` (else ones) and `token_type_ids` (else zeros) of the same shape. Throws
/// IoError for the lack of what `input` says, InvalidArgument for wrong types and shapes; `name` stands for the file.
tensor::HostTensor read_classifier_inputs(const checkpoint::SafeTensors& file, nn::ClassifierInput input,
                                          const std::string& name);

/// Items of random values, always the same: images of the size that the model was made for; texts of up to `length`
/// tokens, all but the first shorter by one more each where `ragged`.
tensor::HostTensor random_classifier_inputs(const nn::ClassifierInfo& info, std::int64_t count, std::int64_t length,
                                            bool ragged);

} // namespace tessera::cli
