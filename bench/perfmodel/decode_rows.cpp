#include "bench/perfmodel/decode_rows.hpp"

#include <algorithm>

#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/models/load.hpp"
#include "tessera/models/parallelism.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::bench {
namespace {

constexpr std::int64_t kPrompt = 128; // of the batch-1 rows, which do not state it
constexpr std::int64_t kContext = 1024;
constexpr std::int64_t kRoom = std::int64_t{1} << 40;

bool same(const OpRecord& a, const OpRecord& b) {
  const auto specs = [](const OperandRecord& x, const OperandRecord& y) { return x.spec == y.spec; };
  return a.name == b.name && a.attributes == b.attributes && std::ranges::equal(a.inputs, b.inputs, specs) &&
         std::ranges::equal(a.outputs, b.outputs, specs);
}

/// Keeps the records of what a device's queues run.
class Recorder : public runtime::QueueObserver {
 public:
  explicit Recorder(std::vector<std::pair<OpRecord, std::int64_t>>& ops) : ops_(ops) {}
  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun& run) override {
    if (run.kind != runtime::ProgramKind::OP) return;
    for (auto& [known, count] : ops_) {
      if (!same(known, record)) continue;
      ++count;
      return;
    }
    ops_.emplace_back(record, 1);
  }

 private:
  std::vector<std::pair<OpRecord, std::int64_t>>& ops_;
};

} // namespace

DecodeRow::DecodeRow(const perfmodel::ModelRow& row, const std::filesystem::path& configs) : row_(row) {
  const BoardSpec& whole = board(row.board);
  const std::int64_t copies = std::max<std::int64_t>(1, row.copies);
  models::Parallelism parallelism = models::parse_tensor_parallelism(whole, std::to_string(whole.chips() / copies));
  parallelism.dp = copies;
  mesh_ = parallelism.submesh_of(whole);
  mesh_.arch.dram_bytes_per_bank = kRoom; // a prefill of 64K tokens in one piece is larger than what the card does
  const auto device = runtime::MeshDevice::open({.board = mesh_, .mode = runtime::RunMode::RECORD, .threads = 1});
  const auto checkpoint = checkpoint::Checkpoint::open_config((configs / (row.config + ".json")).string());
  const std::int64_t prompt = row.long_context ? row.prompt_length : kPrompt;
  const auto model = models::load(device, checkpoint,
                                  {.precision = row.precision,
                                   .context = row.long_context ? row.prompt_length + kContext : kContext,
                                   .max_users = row.users,
                                   .scheme = parallelism.scheme});
  run_ = {.users = row.users,
          .copies = copies,
          .chips = mesh_.chips(),
          .vocab_size = model->info().vocab_size,
          .traced = true};
  conditions_.position = bringup::decode_position(prompt, model->info().context);
  Recorder prefill(prefill_);
  device->add_observer(prefill);
  model->forward_prefill(0, std::vector<std::int32_t>(static_cast<std::size_t>(prompt)), nn::LogitsRows::LAST);
  device->remove_observer(prefill);
  Recorder decode(decode_);
  device->add_observer(decode);
  model->decode_step(row.users);
  device->remove_observer(decode);
}

perfmodel::StepTime DecodeRow::time_of(const Ops& ops, const perfmodel::Constants& constants) const {
  perfmodel::StepTime step(mesh_, conditions_, constants);
  for (const auto& [record, count] : ops) step.add(record, count);
  return step;
}

double DecodeRow::predict_tokens_per_s(const perfmodel::Constants& constants) const {
  return 1e9 / perfmodel::decode_ns(time_of(decode_, constants), run_, constants);
}

double DecodeRow::predict_ttft_ms(const perfmodel::Constants& constants) const {
  return perfmodel::prefill_ns(time_of(prefill_, constants), run_, constants) / 1e6;
}

} // namespace tessera::bench
