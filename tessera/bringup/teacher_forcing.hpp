#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/reference.hpp"
#include "tessera/generate/forward.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {

/// A position of a text and how the device's logits there agree with the reference's.
struct ForcedToken {
  std::size_t text = 0; ///< its number among the texts
  std::int64_t position = 0;
  metrics::RowAgreement agreement;
};

/// What teacher forcing came to: every token is the text's own, whatever the device would have chosen.
struct TeacherForcing {
  metrics::LogitsAgreement agreement; ///< over all tokens
  std::vector<ForcedToken> tokens;    ///< text by text
};

struct ForcingOptions {
  /// Positions of each text that go through prefill; 0: decode alone, as TT-NN's token accuracy has it.
  std::int64_t prefill_positions = 0;
  /// Called as the device goes: positions done, positions in all. May throw to stop the work.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// Runs the texts through a device's model and compares its logits with the reference's, as far as these are known.
/// Overwrites the users' caches. Throws InvalidArgument when the reference knows no logits of any of the texts, and
/// what generate::forward throws.
TeacherForcing teacher_force(nn::CausalLM& device, Reference& reference, const std::vector<Ids>& texts,
                             const ForcingOptions& options = {});

/// Adds positions `first` .. `last - 1` of a sequence of `length` ids to `pair`, as far as their logits are known.
void add_logits(Pair& pair, const ReferenceOutput& expected, const generate::SequenceOutput& actual, std::size_t length,
                std::int64_t first, std::int64_t last);

} // namespace tessera::bringup
