#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/models/parallelism.hpp"
#include "tessera/nn/decoder_model.hpp"
#include "tessera/perfmodel/step.hpp"

namespace tessera::bringup {

/// Predicted time of a phase on the card, and what its ops come to.
struct PhaseTime {
  double time_ns = 0; ///< until the user has the token, the host's part included
  double error = 0;   ///< relative; half of all predictions lie within
  perfmodel::StepTime step;
};

/// Predicted speed of a language model on a board: no card has run it.
struct PredictedSpeed {
  std::string release; ///< of TT-NN, that the prediction speaks of
  std::int64_t users = 1;
  std::int64_t copies = 1;
  std::int64_t prompt_length = 0;
  std::int64_t position = 0; ///< that decode attends up to
  PhaseTime prefill;
  PhaseTime decode;

  double tokens_per_s_user() const { return 1e9 / decode.time_ns; }
  double tokens_per_s() const { return tokens_per_s_user() * static_cast<double>(users * copies); }
  double ttft_ms() const { return prefill.time_ns / 1e6; }
};

/// The middle of the 200 tokens that published speeds generate after the prompt, or the end of the cache.
std::int64_t decode_position(std::int64_t prompt_length, std::int64_t context);

/// Runs the prefill of one user and a decode step of `users` on a model's recording device, and predicts their times on
/// the card; a host drives `copies` of it. None for an architecture without measurements: the steps have run all the
/// same.
std::optional<PredictedSpeed> predict_speed(nn::DecoderModel& model, std::int64_t prompt_length, std::int64_t users,
                                            std::int64_t copies, const perfmodel::Constants& constants);

/// What is asked of a model by its configuration alone.
struct SpeedRequest {
  std::string precision = "accuracy";
  std::int64_t users = 1; ///< of one copy
  std::int64_t context = 1024;
  std::int64_t prompt_length = 128;
  std::int64_t layers = 0; ///< only the first so many; 0: all
};

/// The same for a checkpoint, which may be a configuration alone: loads it on a recording device of the copies' mesh.
/// Throws what models::load throws.
std::optional<PredictedSpeed> predict_speed(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                                            const models::Parallelism& parallelism, const SpeedRequest& request,
                                            const perfmodel::Constants& constants);

} // namespace tessera::bringup
