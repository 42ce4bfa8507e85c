#include "apps/cli/classifier_bringup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/cli/board_file.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_inputs.hpp"
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

Items choose_items(const checkpoint::Checkpoint& checkpoint, const nn::ClassifierInfo& info) {
  const std::filesystem::path held_out = checkpoint.folder() / "heldout.safetensors";
  std::error_code error;
  if (std::filesystem::exists(held_out, error)) {
    const auto file = checkpoint::SafeTensors::open(held_out);
    Items items{read_classifier_inputs(file, info.input, held_out.string()), {}, held_out.string()};
    if (file.contains("labels")) items.labels = checkpoint::to_int64(file.at("labels"));
    return items;
  }
  const std::int64_t tokens = std::min(kRandomTokens, info.max_positions);
  return {random_classifier_inputs(info, kRandomItems, tokens, true), {}, "random"};
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
                                   .source = items.source};
  for (const auto& [name, execution] :
       {std::pair{"traced", nn::Execution{.trace = true, .two_queues = false}},
        std::pair{"two queues", nn::Execution{.trace = false, .two_queues = true}},
        std::pair{"traced, two queues", nn::Execution{.trace = true, .two_queues = true}}}) {
    inputs.forms.push_back(
        {"trace-and-queues", name, [&model = *opened.model, execution = execution](const tensor::HostTensor& batch) {
           return run_stream(model, batch, execution);
         }});
  }
  const std::int64_t chips = find_board(options.model.board).chips();
  for (const std::int64_t copies : std::set<std::int64_t>{2, chips}) {
    if (copies < 2 || copies > chips) continue;
    inputs.forms.push_back({"data-parallel", fmt::format("dp {}", copies),
                            [&checkpoint, copies, own = two_queues](const tensor::HostTensor& batch) mutable {
                              own.dp = copies;
                              return open_classifier(own, checkpoint, copies).model->forward(batch, nullptr);
                            }});
  }
  return bringup::run_classifier(inputs,
                                 {.stages = options.stages,
                                  .precision = options.model.precision,
                                  .board = options.model.board,
                                  .report_folder = options.report},
                                 progress);
}

} // namespace tessera::cli
