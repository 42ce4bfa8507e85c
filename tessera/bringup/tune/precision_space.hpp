#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/nn/precision.hpp"

namespace tessera::bringup {

/// A format that a tensor group can have, and how the group's ops then compute.
struct PrecisionChoice {
  DataType dtype = DataType::BFLOAT16;
  std::string compute; ///< a name of named_compute_config; empty: as the base has it

  friend bool operator==(const PrecisionChoice&, const PrecisionChoice&) = default;
};

/// A tensor group of one layer, or of the whole model, with the choices that it has.
struct PrecisionKnob {
  std::string group;                    ///< "wqkv", "lm_head": a key of a precision file
  std::int64_t layer = -1;              ///< -1: of the whole model
  std::vector<PrecisionChoice> choices; ///< the most accurate first
  std::size_t base = 0;                 ///< what the preset that the space is built on has

  std::string name() const; ///< "layers.3.wqkv", "lm_head"
};

/// The choice of each knob of a space.
using Assignment = std::vector<std::size_t>;

/// The precisions that a search goes through: a preset, whose tensor groups may each have another format. The formats
/// are those that tt_transformers names for a group (bf16, bfp8, bfp4), bf16 and bfp8 for norms and the KV cache, and
/// f32 and bf16 for activations.
///
/// An op's fidelity is the least that loses nothing of its weight's format: LoFi for BFLOAT4_B, HiFi2 for BFLOAT8_B,
/// HiFi4 for BFLOAT16. Native numerics tell no others apart, so that lower ones would look free; with `exact`
/// numerics LoFi for BFLOAT8_B and HiFi2 for BFLOAT16 are choices too.
class PrecisionSpace {
 public:
  /// `groups` are those that may change; empty: all. Throws InvalidArgument for unknown ones, for a base that is no
  /// preset or "full".
  PrecisionSpace(std::string base, const nn::PrecisionSubject& subject, const std::vector<std::string>& groups,
                 bool exact);

  const std::vector<PrecisionKnob>& knobs() const { return knobs_; }
  const std::string& base() const { return base_; }
  Assignment base_assignment() const;
  /// What --precision reads: the base, and what differs from it.
  nlohmann::json file(const Assignment& assignment) const;

  /// The groups, in the order of a decoder.
  static const std::vector<std::string>& all_groups();

 private:
  std::string base_;
  std::vector<PrecisionKnob> knobs_;
};

} // namespace tessera::bringup
