#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tessera/bringup/report.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/causal_lm.hpp"

namespace tessera::bringup {

/// A tensor that a family's model reads, as the checkpoint's config implies it.
struct TensorExpectation {
  std::string name;
  std::vector<std::int64_t> shape;
  bool optional = false; ///< may be absent; is checked where it is there
  std::string equals{};  ///< when there, must hold the same values as this tensor: a tied LM head that is stored too
};

/// Compares a checkpoint with what its family reads: a failing row for each tensor that is missing, misshapen, not
/// floating point, unused, or tied and yet different; one row that counts the tensors when all is well.
std::vector<Row> check_tensors(const checkpoint::Checkpoint& checkpoint,
                               const std::vector<TensorExpectation>& expectations);

/// One row: the special ids of config.json and generation_config.json (bos, eos, pad) are inside the vocabulary.
Row check_special_ids(const checkpoint::Checkpoint& checkpoint, std::int64_t vocab_size);

/// One row: device and reference, which read the config each for itself, agree about the dimensions.
Row check_dimensions(const nn::CausalLMInfo& device, const nn::CausalLMInfo& reference);

} // namespace tessera::bringup
