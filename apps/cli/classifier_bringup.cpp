#include "apps/cli/classifier_bringup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/cli/board_file.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_inputs.hpp"
#include "tessera/base/error.hpp"
#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/nn/classifier/batch_stream.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

constexpr std::int64_t kRandomItems = 8;
constexpr std::int64_t kRandomTokens = 48;

struct Items {
  tensor::HostTensor inputs;
  std::vector<std::int64_t> labels;
  std::string source;
};

/// Pictures as bytes [N, H, W, 3], prepared as the checkpoint wants them.
tensor::HostTensor prepare(const checkpoint::TensorView& view, const image::Preprocessing& preprocessing,
                           const std::string& where) {
  base::require(view.dtype == checkpoint::StorageType::U8 && view.shape.size() == 4 && view.shape[3] == 3 &&
                    view.num_elements() > 0,
                "[bringup] images must be U8 of shape [N, H, W, 3]; {} has {} {}", where,
                checkpoint::to_string(view.dtype), checkpoint::shape_to_string(view.shape));
  tensor::HostTensor batch;
  image::Image picture{view.shape[1], view.shape[2], {}};
  const auto size = static_cast<std::size_t>(picture.height * picture.width * 3);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(view.data.data());
  for (std::int64_t i = 0; i < view.shape[0]; ++i, bytes += size) {
    picture.pixels.assign(bytes, bytes + size);
    const image::Pixels pixels = image::preprocess(picture, preprocessing);
    batch.shape = {view.shape[0], 3, pixels.height, pixels.width};
    batch.data.insert(batch.data.end(), pixels.values.begin(), pixels.values.end());
  }
  return batch;
}

/// heldout.safetensors beside the weights: pictures as `images`, or inputs that are prepared already, and their
/// `labels`.
Items held_out_items(const std::filesystem::path& path, const checkpoint::Checkpoint& checkpoint,
                     nn::ClassifierInput input) {
  const auto file = checkpoint::SafeTensors::open(path);
  Items items{.source = path.string()};
  if (file.contains("images")) {
    items.inputs = prepare(file.at("images"), preprocessing_of(checkpoint), path.string());
  } else {
    items.inputs = read_classifier_inputs(file, input, path.string());
  }
  if (file.contains("labels")) items.labels = checkpoint::to_int64(file.at("labels"));
  return items;
}

Items choose_items(const checkpoint::Checkpoint& checkpoint, const nn::ClassifierInfo& info) {
  const std::filesystem::path held_out = checkpoint.folder() / "heldout.safetensors";
  std::error_code error;
  if (std::filesystem::exists(held_out, error)) return held_out_items(held_out, checkpoint, info.input);
  const std::int64_t tokens = std::min(kRandomTokens, info.max_positions);
  return {random_classifier_inputs(info, kRandomItems, tokens, true), {}, "random"};
}

/// Whether the board has a line of so many chips, and they can share the model's layers.
bool can_share(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint, std::int64_t chips) {
  try {
    models::parse_tensor_parallelism(find_board(options.board), std::to_string(chips));
    models::check_tensor_parallel(checkpoint, chips);
  } catch (const base::InvalidArgument&) {
    return false;
  }
  return true;
}

/// A trace needs a run, the capture and a replay before its logits are those of a replay.
tensor::HostTensor run_stream(nn::ClassifierModel& model, const tensor::HostTensor& inputs,
                              const nn::Execution& execution) {
  nn::BatchStream stream(model, inputs.shape, execution);
  tensor::HostTensor logits;
  for (std::int64_t round = 0; round < 3 * stream.depth(); ++round) {
    stream.submit(inputs);
    logits = stream.next();
  }
  return logits;
}

bringup::ShardingForm sharding_of_line(const BoardSpec& board, std::int64_t chips) {
  const models::Parallelism line = models::parse_tensor_parallelism(board, std::to_string(chips));
  return {.name = models::to_string(line), .rows = line.rows, .columns = line.columns};
}

/// What the page shows beside the report: a batch's ops and memory, found in record mode, the same batch on this host,
/// and how the forms lie on the board.
void write_page_files(const ClassifierBringupOptions& options, const bringup::Report& report,
                      const checkpoint::Checkpoint& checkpoint, nn::ClassifierModel& model,
                      const bringup::ClassifierInputs& inputs) {
  const BoardSpec board = find_board(options.model.board);
  bringup::Sharding sharding{.board = board.name,
                             .rows = board.mesh_rows,
                             .columns = board.mesh_columns,
                             .forms = {sharding_of_line(board, model.tensor_parallel())}};
  for (const bringup::ClassifierForm& form : inputs.forms) {
    if (!form.sharding.name.empty()) sharding.forms.push_back(form.sharding);
  }
  bringup::write_sharding(sharding, report.key, options.report);
  bringup::write_measured_steps(bringup::measure_steps(model, inputs.items), report.key, options.report);
  const bool images = model.info().input == nn::ClassifierInput::IMAGES;
  bringup::write_recorded_steps(bringup::record_classifier_steps(checkpoint, board,
                                                                 {.precision = options.model.precision,
                                                                  .users = inputs.items.shape[0],
                                                                  .prompt_length = images ? 0 : inputs.items.shape[2]},
                                                                 perfmodel::constants()),
                                report.key, options.report);
}

} // namespace

bringup::Report bringup_classifier(const ClassifierBringupOptions& options, const checkpoint::Checkpoint& checkpoint,
                                   bringup::Progress& progress) {
  ModelOptions two_queues = options.model; // for the stage that compares them
  two_queues.command_queues = 2;
  if (!two_queues.dp) two_queues.dp = 1; // copies have a stage of their own
  ClassifierOnBoard opened = open_classifier(two_queues, checkpoint, 1);
  const auto reference = reference::open_classifier(checkpoint, options.model.threads);
  Items items = choose_items(checkpoint, opened.model->info());
  bringup::ClassifierInputs inputs{.device = *opened.model,
                                   .reference = *reference,
                                   .items = std::move(items.inputs),
                                   .labels = std::move(items.labels),
                                   .source = items.source,
                                   .name = options.name,
                                   .devices = {&opened.model->device()}};
  for (const auto& [name, execution] :
       {std::pair{"traced", nn::Execution{.trace = true, .two_queues = false}},
        std::pair{"two queues", nn::Execution{.trace = false, .two_queues = true}},
        std::pair{"traced, two queues", nn::Execution{.trace = true, .two_queues = true}}}) {
    inputs.forms.push_back(
        {"trace-and-queues", name, [&model = *opened.model, execution = execution](const tensor::HostTensor& batch) {
           return run_stream(model, batch, execution);
         }});
  }
  const std::int64_t most = find_board(options.model.board).chips() / opened.model->tensor_parallel();
  for (const std::int64_t copies : std::set<std::int64_t>{2, most}) {
    if (copies < 2 || copies > most) continue;
    inputs.forms.push_back({"data-parallel",
                            fmt::format("dp {}", copies),
                            [&checkpoint, copies, own = two_queues](const tensor::HostTensor& batch) mutable {
                              own.dp = copies;
                              return open_classifier(own, checkpoint, copies).model->forward(batch, nullptr);
                            },
                            true,
                            {.name = fmt::format("dp {}, tp 1", copies), .copies = copies}});
  }
  for (std::int64_t chips = 2; chips <= find_board(options.model.board).chips(); ++chips) {
    if (!can_share(options.model, checkpoint, chips)) continue;
    inputs.forms.push_back({.stage = "tensor-parallel",
                            .name = fmt::format("tp {}", chips),
                            .run =
                                [&checkpoint, chips, own = two_queues](const tensor::HostTensor& batch) mutable {
                                  own.dp = 1;
                                  own.tp = std::to_string(chips);
                                  return open_classifier(own, checkpoint, 1).model->forward(batch, nullptr);
                                },
                            .same_bits = false,
                            .sharding = sharding_of_line(find_board(options.model.board), chips)});
  }
  const bringup::Report report = bringup::run_classifier(inputs,
                                                         {.stages = options.stages,
                                                          .precision = options.model.precision,
                                                          .board = options.model.board,
                                                          .report_folder = options.report},
                                                         progress);
  if (!progress.cancelled()) write_page_files(options, report, checkpoint, *opened.model, inputs);
  return report;
}

} // namespace tessera::cli
