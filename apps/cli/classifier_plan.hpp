#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "apps/cli/memory_plan.hpp"
#include "apps/cli/time_plan.hpp"
#include "tessera/bringup/memory_map.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/perfmodel/step.hpp"
#include "tessera/spec/board_spec.hpp"

namespace tessera::cli {

struct ClassifierPlanRequest {
  std::string precision;
  std::int64_t items = 1;    ///< images or texts of each chip
  std::int64_t tokens = 128; ///< of a text; at most those that the model takes
  bool memory_map = false;   ///< what lies in memory over a forward pass is wanted too
};

/// A classifier of images or texts on a board: all of it on each chip, the items dealt out.
struct ClassifierPlan {
  bool fits = true;
  std::string explanation; ///< the allocator's, when it does not fit
  std::string family;
  std::int64_t items = 1;      ///< of each chip
  std::int64_t image_size = 0; ///< 0: texts
  std::int64_t tokens = 0;     ///< of a text; 0: images
  MemoryUse dram;              ///< what is needed, even when it does not fit
  MemoryUse l1;
  std::optional<PhaseTime> time;         ///< of a batch on all chips; as if it fitted
  std::optional<bringup::MemoryMap> map; ///< as if it fitted; none unless it was asked for
};

/// Runs loading and a forward pass of the items of each chip in record mode: no weights are read. Throws what
/// models::load_classifier throws but OutOfMemory, which is an answer.
ClassifierPlan plan_classifier(const BoardSpec& board, const checkpoint::Checkpoint& checkpoint,
                               const ClassifierPlanRequest& request);

/// What `plan` says of it.
nlohmann::json classifier_json(const ClassifierPlan& plan, const BoardSpec& board);
std::string classifier_text(const ClassifierPlan& plan, const BoardSpec& board);

} // namespace tessera::cli
