#pragma once

#include <cstdint>
#include <vector>

#include "tessera/bringup/report.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::bringup {

/// Compares a checkpoint with what its family reads: a failing row for each tensor that is missing, misshapen, not
/// floating point or unused, or that the config ties to the embedding although its values differ; one row that counts
/// the tensors when all is well. `expectations` begins with the embedding; a tied LM head is optional in it.
std::vector<Row> check_tensors(const checkpoint::Checkpoint& checkpoint,
                               const std::vector<nn::TensorExpectation>& expectations);

/// One row: the special ids of config.json and generation_config.json (bos, eos, pad) are inside the vocabulary.
Row check_special_ids(const checkpoint::Checkpoint& checkpoint, std::int64_t vocab_size);

/// One row: device and reference, which read the config each for itself, agree about the dimensions.
Row check_dimensions(const nn::CausalLMInfo& device, const nn::CausalLMInfo& reference);

} // namespace tessera::bringup
