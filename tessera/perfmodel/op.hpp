#pragma once

#include <cstdint>

#include "tessera/perfmodel/constants.hpp"
#include "tessera/perfmodel/prediction.hpp"
#include "tessera/spec/board_spec.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::perfmodel {

/// What an op's record does not hold because the device's data decide it.
struct Conditions {
  std::int64_t position = 0; ///< that decode attends up to, at most what the cache holds; 0: all that it holds
};

/// Time of one op's kernel on each chip of a board, all chips running the same. `record` is of one chip's shard, as ops
/// describe themselves. An attribute "cores" says how many cores ran it, else the shape fills as many as it can. Throws
/// Unsupported for an architecture without measurements.
Prediction predict_op(const OpRecord& record, const BoardSpec& board, const Conditions& conditions,
                      const Constants& constants);

} // namespace tessera::perfmodel
