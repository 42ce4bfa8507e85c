#pragma once

#include <cstdint>
#include <string>

#include "apps/cli/model_options.hpp"
#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::cli {

/// What is asked of a card.
struct PlanRequest {
  std::int64_t users = 1;         ///< batch of decode, 1 to 32
  std::int64_t context = 0;       ///< as LoadOptions::context
  std::int64_t prompt_length = 0; ///< of the prefill; 0: the whole context
  std::int64_t layers = 0;        ///< as LoadOptions::layers
};

/// Use of one memory of one chip, in bytes with all padding: the peak over loading, a prefill and a traced decode step.
struct MemoryUse {
  std::int64_t weights = 0;
  std::int64_t kv_cache = 0;
  std::int64_t activations = 0;
  std::int64_t trace = 0; ///< of the decode step
  std::int64_t peak = 0;  ///< of all together
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
};

/// Runs loading, the prefill of one user and a traced decode step of all users in record mode: no weights are read, no
/// memory is used. Throws what models::load throws but OutOfMemory, which is an answer.
MemoryPlan plan_memory(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                       const PlanRequest& request);

} // namespace tessera::cli
