#pragma once

#include <cstdint>

#include "tessera/nn/decoder_model.hpp"

namespace tessera::bringup {

/// Bytes of weights that one chip reads in a decode step of `users`, with all padding: matrices, norms and biases
/// whole, of the embedding a row for each user, of experts as many as are expected to be chosen. Runs a decode step;
/// meant for a device in record mode, on which nothing is computed.
std::int64_t weight_bytes_per_step(nn::DecoderModel& model, std::int64_t users);

} // namespace tessera::bringup
