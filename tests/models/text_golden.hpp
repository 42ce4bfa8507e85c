#pragma once

#include <filesystem>
#include <iterator>
#include <string>

#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/nn/classifier/text_rows.hpp"

namespace tessera::test {

/// The inputs of a golden text classifier: input_ids, and attention_mask and token_type_ids where the file has them.
inline tensor::HostTensor golden_texts(const checkpoint::SafeTensors& golden) {
  const checkpoint::TensorView& ids = golden.at("input_ids");
  tensor::HostTensor inputs{{ids.shape.at(0), nn::kTextRows, ids.shape.at(1)}, {}};
  const auto row = [&](const char* name, std::int64_t absent) {
    return golden.contains(name) ? checkpoint::to_int64(golden.at(name))
                                 : std::vector<std::int64_t>(ids.num_elements(), absent);
  };
  const std::vector<std::int64_t> rows[] = {row("input_ids", 0), row("attention_mask", 1), row("token_type_ids", 0)};
  for (std::int64_t i = 0; i < ids.shape[0]; ++i) {
    for (const std::vector<std::int64_t>& values : rows) {
      for (std::int64_t j = 0; j < ids.shape[1]; ++j)
        inputs.data.push_back(static_cast<float>(values.at(static_cast<std::size_t>(i * ids.shape[1] + j))));
    }
  }
  return inputs;
}

} // namespace tessera::test
