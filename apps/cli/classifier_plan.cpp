#include "apps/cli/classifier_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/nn/classifier/text_rows.hpp"
#include "tessera/profile/step_predictor.hpp"

namespace tessera::cli {
namespace {

/// Loads and runs the model on a recording device of this board. Throws OutOfMemory when the board is too small, unless
/// memory is unlimited.
ClassifierPlan record(const BoardSpec& board, bool unlimited_memory, const checkpoint::Checkpoint& checkpoint,
                      const ClassifierPlanRequest& request) {
  const auto device = runtime::MeshDevice::open(
      {.board = board, .mode = runtime::RunMode::RECORD, .unlimited_memory = unlimited_memory, .threads = 1});
  const auto model = models::load_classifier(device, checkpoint, {.precision = request.precision});
  const nn::ClassifierInfo& info = model->info();
  const bool images = info.input == nn::ClassifierInput::IMAGES;
  const std::int64_t tokens = images ? 0 : std::min(request.tokens, info.max_positions);
  const std::vector<std::int64_t> extents =
      images ? std::vector{info.channels, info.image_size, info.image_size} : std::vector{nn::kTextRows, tokens};
  const auto forward = [&] { model->forward(model->allocate_inputs(request.items, extents)); };
  const perfmodel::Constants& constants = perfmodel::constants();
  ClassifierPlan plan{
      .family = info.family, .items = request.items, .image_size = images ? info.image_size : 0, .tokens = tokens};
  if (constants.chips.contains(board.arch.name)) {
    const profile::StepPredictor predictor(*device, {}, constants);
    forward();
    plan.time =
        PhaseTime{perfmodel::images_ns(predictor.step(), true, constants), constants.errors.images, predictor.step()};
  } else {
    forward();
  }
  if (request.memory_map) {
    bringup::MemoryWatch watch(*device);
    watch.begin("forward");
    forward();
    plan.map = watch.map();
  }
  plan.dram = memory_use(*device, BufferType::DRAM);
  plan.l1 = memory_use(*device, BufferType::L1);
  return plan;
}

double items_per_s(const ClassifierPlan& plan, const BoardSpec& board) {
  return static_cast<double>(plan.items * board.chips()) / plan.time->time_ns * 1e9;
}

nlohmann::json use_json(const MemoryUse& use) {
  return {{"weights", use.weights}, {"activations", use.activations}};
}

} // namespace

ClassifierPlan plan_classifier(const BoardSpec& board, const checkpoint::Checkpoint& checkpoint,
                               const ClassifierPlanRequest& request) {
  base::require(1 <= request.items && request.items <= 1024,
                "[plan] --batch must be 1 to 1024 images or texts; received {}", request.items);
  try {
    return record(board, false, checkpoint, request);
  } catch (const base::OutOfMemory& error) {
    ClassifierPlan plan = record(board, true, checkpoint, request);
    plan.fits = false;
    plan.explanation = error.what();
    return plan;
  }
}

nlohmann::json classifier_json(const ClassifierPlan& plan, const BoardSpec& board) {
  nlohmann::json report{{"fits", plan.fits},
                        {"family", plan.family},
                        {"board", board.name},
                        {"board_chips", board.chips()},
                        {"batch", plan.items * board.chips()},
                        {"batch_of_chip", plan.items},
                        {"bytes_per_chip", use_json(plan.dram)},
                        {"peak_bytes", plan.dram.peak},
                        {"capacity_bytes", plan.dram.capacity},
                        {"l1_bytes_per_chip", use_json(plan.l1)},
                        {"l1_peak_bytes", plan.l1.peak},
                        {"l1_capacity_bytes", plan.l1.capacity}};
  if (plan.image_size > 0) report["image_size"] = plan.image_size;
  if (plan.tokens > 0) report["tokens"] = plan.tokens;
  if (plan.map) report["memory_map"] = bringup::memory_map_json(*plan.map);
  report["explanation"] = plan.fits ? nlohmann::json(nullptr) : nlohmann::json(plan.explanation);
  if (plan.time) {
    report["forward"] = {{"predicted", true},
                         {plan.tokens > 0 ? "texts_per_s" : "images_per_s", items_per_s(plan, board)},
                         {"time_ms", plan.time->time_ns / 1e6},
                         {"card_ms", plan.time->step.time_ns() / 1e6},
                         {"error", plan.time->error},
                         {"roofline", plan.time->step.roofline()},
                         {"release", perfmodel::constants().release},
                         {"ops", ops_json(plan.time->step)}};
  }
  return report;
}

std::string classifier_text(const ClassifierPlan& plan, const BoardSpec& board) {
  const auto row = [](const char* name, std::int64_t dram, std::int64_t l1) {
    return fmt::format("{:<22} {:>12.1f} {:>12.1f}\n", name, static_cast<double>(dram) / 1e6,
                       static_cast<double>(l1) / 1e6);
  };
  const std::string items = plan.tokens > 0 ? fmt::format("texts of {} tokens", plan.tokens)
                                            : fmt::format("images of {} x {}", plan.image_size, plan.image_size);
  std::string text =
      fmt::format("{} on {}, {} {} on each of {} chips\n\n", plan.family, board.name, plan.items, items, board.chips());
  text += fmt::format("{:<22} {:>12} {:>12}\n", "bytes of a chip", "DRAM, MB", "L1, MB");
  text += row("weights", plan.dram.weights, plan.l1.weights);
  text += row("activations, peak", plan.dram.activations, plan.l1.activations);
  text += row("together, peak", plan.dram.peak, plan.l1.peak);
  text += row("capacity", plan.dram.capacity, plan.l1.capacity);
  text += plan.fits ? "\nIt fits.\n" : fmt::format("\nIt does not fit: {}\n", plan.explanation);
  if (plan.map) text += bringup::memory_map_text(*plan.map);
  if (!plan.time) return text;
  if (!plan.fits) text += "\nWith room for it:";
  text += fmt::format(
      "\nPredicted for the card, of {}; nothing was run on one:\n  {:<8} {:>14.1f}, half of such "
      "predictions within {:.0f} %; traced\n\n",
      perfmodel::constants().release, plan.tokens > 0 ? "texts/s" : "images/s", items_per_s(plan, board),
      plan.time->error * 100);
  text += fmt::format("  {:<44} {:>6} {:>10} {:>12} {:>10}\n", "a batch", "ops", "ms", "bound by", "roofline");
  return text + ops_text(plan.time->step, 8);
}

} // namespace tessera::cli
