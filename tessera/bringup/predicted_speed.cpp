#include "tessera/bringup/predicted_speed.hpp"

#include <algorithm>
#include <vector>

#include "tessera/models/load.hpp"
#include "tessera/profile/step_predictor.hpp"

namespace tessera::bringup {
namespace {

constexpr std::int64_t kGenerated = 200; // tokens over which PERF.md of tt_transformers measures

/// What `run` would take on the card.
template <typename Run>
perfmodel::StepTime time_of(runtime::MeshDevice& device, const perfmodel::Conditions& conditions,
                            const perfmodel::Constants& constants, Run&& run) {
  const profile::StepPredictor predictor(device, conditions, constants);
  run();
  return predictor.step();
}

} // namespace

std::int64_t decode_position(std::int64_t prompt_length, std::int64_t context) {
  return prompt_length + std::min(kGenerated, std::max<std::int64_t>(0, context - prompt_length)) / 2;
}

std::optional<PredictedSpeed> predict_speed(nn::DecoderModel& model, std::int64_t prompt_length, std::int64_t users,
                                            std::int64_t copies, const perfmodel::Constants& constants) {
  runtime::MeshDevice& device = model.device();
  const nn::CausalLMInfo& info = model.info();
  const auto prefill = [&] {
    model.forward_prefill(0, std::vector<std::int32_t>(static_cast<std::size_t>(prompt_length)), nn::LogitsRows::LAST);
  };
  const auto decode = [&] { model.decode_step(users); };
  const BoardSpec& mesh = device.board();
  if (!constants.chips.contains(mesh.arch.name)) {
    prefill();
    decode();
    return std::nullopt;
  }
  const perfmodel::ChipConstants& chip = constants.of(mesh.arch);
  const std::int64_t position = decode_position(prompt_length, info.context);
  const perfmodel::Conditions conditions{.position = position};
  const perfmodel::StepTime prefilled = time_of(device, conditions, constants, prefill);
  const perfmodel::StepTime decoded = time_of(device, conditions, constants, decode);
  const perfmodel::StepRun run{
      .users = users, .copies = copies, .chips = mesh.chips(), .vocab_size = info.vocab_size, .traced = true};
  const bool one_chip = mesh.chips() == 1 && copies == 1;
  return PredictedSpeed{.release = constants.release,
                        .users = users,
                        .copies = copies,
                        .prompt_length = prompt_length,
                        .position = position,
                        .prefill = {perfmodel::prefill_ns(prefilled, run, constants), chip.prefill_error, prefilled},
                        .decode = {perfmodel::decode_ns(decoded, run, constants),
                                   one_chip ? chip.decode_error : chip.mesh_decode_error, decoded}};
}

std::optional<PredictedSpeed> predict_speed(const checkpoint::Checkpoint& checkpoint, const BoardSpec& board,
                                            const models::Parallelism& parallelism, const SpeedRequest& request,
                                            const perfmodel::Constants& constants) {
  const auto device = runtime::MeshDevice::open(
      {.board = parallelism.submesh_of(board), .mode = runtime::RunMode::RECORD, .threads = 1});
  const auto model = models::load(device, checkpoint,
                                  {.precision = request.precision,
                                   .context = request.context,
                                   .max_users = request.users,
                                   .scheme = parallelism.scheme,
                                   .layers = request.layers});
  return predict_speed(*model, std::min(request.prompt_length, model->info().context), request.users, parallelism.dp,
                       constants);
}

} // namespace tessera::bringup
