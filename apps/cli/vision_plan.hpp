#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "apps/cli/memory_plan.hpp"
#include "apps/cli/time_plan.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/perfmodel/step.hpp"
#include "tessera/spec/board_spec.hpp"

namespace tessera::cli {

/// An image classifier on a board: all of it on each chip, the images dealt out.
struct VisionPlan {
  bool fits = true;
  std::string explanation; ///< the allocator's, when it does not fit
  std::string family;
  std::int64_t images = 1; ///< of each chip
  std::int64_t image_size = 0;
  MemoryUse dram;
  MemoryUse l1;
  std::optional<PhaseTime> time; ///< of a batch on all chips
};

/// Runs loading and a forward pass of `images` images of each chip in record mode: no weights are read. Throws what
/// models::load_image_classifier throws but OutOfMemory, which is an answer.
VisionPlan plan_vision(const BoardSpec& board, const checkpoint::Checkpoint& checkpoint, const std::string& precision,
                       std::int64_t images);

/// What `plan` says of it.
nlohmann::json vision_json(const VisionPlan& plan, const BoardSpec& board);
std::string vision_text(const VisionPlan& plan, const BoardSpec& board);

} // namespace tessera::cli
