#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tessera/bringup/memory_map.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/models/parallelism.hpp"

namespace tessera::bringup {
struct PredictedSpeed;
}

namespace tessera::cli {

/// What is asked of the chips of one copy of a model.
struct PlanRequest {
  std::string precision = "accuracy";
  std::int64_t users = 1;         ///< batch of decode, 1 to 32
  std::int64_t context = 0;       ///< as LoadOptions::context
  std::int64_t prompt_length = 0; ///< of the prefill; 0: the whole context
  std::int64_t layers = 0;        ///< as LoadOptions::layers
  bool memory_map = false;        ///< also what lies where over time
};

/// Use of one memory of one chip, in bytes with all padding: the peak over loading, a prefill and a traced decode step.
struct MemoryUse {
  std::int64_t weights = 0;
  std::int64_t kv_cache = 0;
  std::int64_t activations = 0;
  std::int64_t collectives = 0; ///< their outputs
  std::int64_t trace = 0;       ///< of the decode step
  std::int64_t peak = 0;        ///< of all together
  std::int64_t capacity = 0;
};

struct MemoryPlan {
  bool fits = true;
  std::string explanation; ///< the allocator's, when it does not fit
  std::string family;
  std::int64_t context = 0; ///< what the request came to
  std::int64_t prompt_length = 0;
  MemoryUse dram; ///< what is needed, even when it does not fit
  MemoryUse l1;
  std::shared_ptr<const bringup::PredictedSpeed>
      time;                                      ///< as if it fitted; null where nothing is known of the architecture
  std::shared_ptr<const bringup::MemoryMap> map; ///< as if it fitted; null unless it was asked for
};

/// How a board is shared out for a model, and what that comes to on each chip.
struct BoardPlan {
  models::Parallelism parallelism;
  MemoryPlan memory;
};

/// What is asked of a board.
struct BoardRequest {
  std::optional<std::int64_t> dp; ///< copies; none: as many as there are chips for, at most one for each user
  std::string tp;                 ///< as models::parse_tensor_parallelism; empty: as few chips in a line as it fits on
  std::optional<std::int64_t> users; ///< of all copies together; none: PlanRequest::users for each copy
};

/// The plan of the first tensor parallelism that fits, or of the largest when none does. Throws as plan_memory, and
/// InvalidArgument for a dp or tp that does not suit board and model.
BoardPlan plan_board(const BoardSpec& board, const BoardRequest& wanted, const checkpoint::Checkpoint& checkpoint,
                     PlanRequest request);

/// Runs loading, the prefill of one user and a traced decode step of all users in record mode: no weights are read, no
/// memory is used. Throws what models::load throws but OutOfMemory, which is an answer.
MemoryPlan plan_memory(const BoardSpec& board, const models::Parallelism& parallelism,
                       const checkpoint::Checkpoint& checkpoint, const PlanRequest& request);

/// The use of a device's memory so far.
MemoryUse memory_use(const runtime::MeshDevice& device, BufferType type);

} // namespace tessera::cli
