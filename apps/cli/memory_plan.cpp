#include "apps/cli/memory_plan.hpp"

#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/bringup/predicted_speed.hpp"

namespace tessera::cli {

MemoryUse memory_use(const runtime::MeshDevice& device, BufferType type) {
  const auto& usage = device.allocator(type).usage();
  const auto peak = [&](runtime::MemoryKind kind) { return usage.peak_by_kind[static_cast<std::size_t>(kind)]; };
  return {.weights = peak(runtime::MemoryKind::WEIGHTS),
          .kv_cache = peak(runtime::MemoryKind::KV_CACHE),
          .activations = peak(runtime::MemoryKind::ACTIVATIONS),
          .collectives = peak(runtime::MemoryKind::COLLECTIVES),
          .trace = peak(runtime::MemoryKind::TRACE),
          .peak = usage.peak_bytes,
          .capacity = device.capacity_bytes(type)};
}

namespace {

/// Loads and runs the model on a recording device of this board. Throws OutOfMemory when the board is too small, unless
/// memory is unlimited.
MemoryPlan record(const BoardSpec& mesh, bool unlimited_memory, const models::Parallelism& parallelism,
                  const checkpoint::Checkpoint& checkpoint, const PlanRequest& request) {
  const std::int64_t copies = parallelism.dp;
  const auto device = runtime::MeshDevice::open(
      {.board = mesh, .mode = runtime::RunMode::RECORD, .unlimited_memory = unlimited_memory, .threads = 1});
  const auto model = models::load(device, checkpoint,
                                  {.precision = request.precision,
                                   .context = request.context,
                                   .max_users = request.users,
                                   .scheme = parallelism.scheme,
                                   .layers = request.layers});
  const nn::CausalLMInfo& info = model->info();
  const std::int64_t length = request.prompt_length > 0 ? request.prompt_length : info.context;
  std::shared_ptr<const bringup::MemoryMap> map;
  if (request.memory_map) {
    bringup::MemoryWatch watch(*device);
    watch.begin("prefill");
    model->forward_prefill(0, std::vector<std::int32_t>(static_cast<std::size_t>(length)), nn::LogitsRows::LAST);
    watch.begin("decode");
    model->decode_step(request.users);
    map = std::make_shared<const bringup::MemoryMap>(watch.map());
  }
  auto time = bringup::predict_speed(*model, length, request.users, copies, perfmodel::constants());
  const runtime::Trace trace(device, 0, [&] { model->decode_step(request.users); });
  return {.family = info.family,
          .context = info.context,
          .prompt_length = length,
          .dram = memory_use(*device, BufferType::DRAM),
          .l1 = memory_use(*device, BufferType::L1),
          .time = time ? std::make_shared<const bringup::PredictedSpeed>(*std::move(time)) : nullptr,
          .map = std::move(map)};
}

} // namespace

MemoryPlan plan_memory(const BoardSpec& board, const models::Parallelism& parallelism,
                       const checkpoint::Checkpoint& checkpoint, const PlanRequest& request) {
  const BoardSpec mesh = parallelism.submesh_of(board);
  try {
    return record(mesh, false, parallelism, checkpoint, request);
  } catch (const base::OutOfMemory& error) {
    MemoryPlan plan = record(mesh, true, parallelism, checkpoint, request);
    plan.fits = false;
    plan.explanation = error.what();
    return plan;
  }
}

BoardPlan plan_board(const BoardSpec& board, const BoardRequest& wanted, const checkpoint::Checkpoint& checkpoint,
                     PlanRequest request) {
  const nn::DecoderConfig config = models::configure(checkpoint);
  const std::vector<models::Parallelism> candidates =
      wanted.tp.empty() ? models::tensor_parallelisms(board, config)
                        : std::vector{models::parse_tensor_parallelism(board, wanted.tp)};
  BoardPlan plan{.memory = {.fits = false}};
  for (models::Parallelism candidate : candidates) {
    const std::int64_t most = candidate.most_copies(board);
    if (wanted.dp && most < *wanted.dp && plan.memory.dram.capacity > 0) break; // a smaller one is the largest possible
    candidate.dp = wanted.dp.value_or(std::min(most, wanted.users.value_or(most)));
    models::check_parallelism(candidate, board, config);
    if (wanted.users) request.users = div_up(*wanted.users, candidate.dp);
    plan = {candidate, plan_memory(board, candidate, checkpoint, request)};
    if (plan.memory.fits) break;
  }
  return plan;
}

} // namespace tessera::cli
