#include "apps/cli/vision_plan.hpp"

#include <fmt/format.h>

#include "tessera/base/error.hpp"
#include "tessera/models/vision.hpp"
#include "tessera/profile/step_predictor.hpp"

namespace tessera::cli {
namespace {

VisionPlan record(const BoardSpec& board, const checkpoint::Checkpoint& checkpoint, const std::string& precision,
                  std::int64_t images) {
  const auto device = runtime::MeshDevice::open({.board = board, .mode = runtime::RunMode::RECORD, .threads = 1});
  const auto model = models::load_image_classifier(device, checkpoint, {.precision = precision});
  const nn::ImageClassifierInfo& info = model->info();
  const auto forward = [&] { model->forward(model->allocate_pixels(images, info.image_size, info.image_size)); };
  const perfmodel::Constants& constants = perfmodel::constants();
  VisionPlan plan{.family = info.family, .images = images, .image_size = info.image_size};
  if (constants.chips.contains(board.arch.name)) {
    const profile::StepPredictor predictor(*device, {}, constants);
    forward();
    plan.time =
        PhaseTime{perfmodel::images_ns(predictor.step(), true, constants), constants.errors.images, predictor.step()};
  } else {
    forward();
  }
  plan.dram = memory_use(*device, BufferType::DRAM);
  plan.l1 = memory_use(*device, BufferType::L1);
  return plan;
}

double images_per_s(const VisionPlan& plan, const BoardSpec& board) {
  return static_cast<double>(plan.images * board.chips()) / plan.time->time_ns * 1e9;
}

nlohmann::json use_json(const MemoryUse& use) {
  return {{"weights", use.weights}, {"activations", use.activations}};
}

} // namespace

VisionPlan plan_vision(const BoardSpec& board, const checkpoint::Checkpoint& checkpoint, const std::string& precision,
                       std::int64_t images) {
  base::require(1 <= images && images <= 1024, "[plan] --batch must be 1 to 1024 images; received {}", images);
  const auto family = models::vision_family_of(checkpoint);
  try {
    return record(board, checkpoint, precision, images);
  } catch (const base::OutOfMemory& error) {
    VisionPlan plan{.fits = false, .explanation = error.what(), .images = images};
    if (family != nullptr) plan.family = family->name;
    plan.dram.capacity = board.arch.dram_bytes();
    plan.l1.capacity = board.arch.l1_bytes();
    return plan;
  }
}

nlohmann::json vision_json(const VisionPlan& plan, const BoardSpec& board) {
  nlohmann::json report{{"fits", plan.fits},
                        {"family", plan.family},
                        {"board", board.name},
                        {"board_chips", board.chips()},
                        {"batch", plan.images * board.chips()},
                        {"batch_of_chip", plan.images},
                        {"image_size", plan.image_size},
                        {"bytes_per_chip", use_json(plan.dram)},
                        {"peak_bytes", plan.dram.peak},
                        {"capacity_bytes", plan.dram.capacity},
                        {"l1_bytes_per_chip", use_json(plan.l1)},
                        {"l1_peak_bytes", plan.l1.peak},
                        {"l1_capacity_bytes", plan.l1.capacity}};
  report["explanation"] = plan.fits ? nlohmann::json(nullptr) : nlohmann::json(plan.explanation);
  if (plan.time) {
    report["forward"] = {{"predicted", true},
                         {"images_per_s", images_per_s(plan, board)},
                         {"time_ms", plan.time->time_ns / 1e6},
                         {"card_ms", plan.time->step.time_ns() / 1e6},
                         {"error", plan.time->error},
                         {"roofline", plan.time->step.roofline()},
                         {"release", perfmodel::constants().release},
                         {"ops", ops_json(plan.time->step)}};
  }
  return report;
}

std::string vision_text(const VisionPlan& plan, const BoardSpec& board) {
  const auto row = [](const char* name, std::int64_t dram, std::int64_t l1) {
    return fmt::format("{:<22} {:>12.1f} {:>12.1f}\n", name, static_cast<double>(dram) / 1e6,
                       static_cast<double>(l1) / 1e6);
  };
  std::string text = fmt::format("{} on {}, {} images of {} x {} on each of {} chips\n\n", plan.family, board.name,
                                 plan.images, plan.image_size, plan.image_size, board.chips());
  text += fmt::format("{:<22} {:>12} {:>12}\n", "bytes of a chip", "DRAM, MB", "L1, MB");
  text += row("weights", plan.dram.weights, plan.l1.weights);
  text += row("activations, peak", plan.dram.activations, plan.l1.activations);
  text += row("together, peak", plan.dram.peak, plan.l1.peak);
  text += row("capacity", plan.dram.capacity, plan.l1.capacity);
  text += plan.fits ? "\nIt fits.\n" : fmt::format("\nIt does not fit: {}\n", plan.explanation);
  if (!plan.time) return text;
  text += fmt::format(
      "\nPredicted for the card, of {}; nothing was run on one:\n  images/s {:>14.1f}, half of such "
      "predictions within {:.0f} %; traced\n\n",
      perfmodel::constants().release, images_per_s(plan, board), plan.time->error * 100);
  text += fmt::format("  {:<44} {:>6} {:>10} {:>12} {:>10}\n", "a batch", "ops", "ms", "bound by", "roofline");
  return text + ops_text(plan.time->step, 8);
}

} // namespace tessera::cli
