#pragma once

#include <cstddef>
#include <vector>

#include "tessera/bringup/tune/precision_space.hpp"

namespace tessera::bringup {

/// What a choice of a knob changes from the base: its cost, in the objective's unit, and its loss of accuracy.
struct ChoiceEffect {
  double cost = 0;
  double loss = 0;
  bool known = false; ///< measured; others are never taken
};

/// Costs and losses of all choices, added up over the knobs.
class EffectTable {
 public:
  /// [knob][choice]
  explicit EffectTable(std::vector<std::vector<ChoiceEffect>> effects) : effects_(std::move(effects)) {}

  const std::vector<ChoiceEffect>& of(std::size_t knob) const { return effects_[knob]; }
  std::size_t knobs() const { return effects_.size(); }
  double cost(const Assignment& assignment) const { return sum(assignment, &ChoiceEffect::cost); }
  double loss(const Assignment& assignment) const { return sum(assignment, &ChoiceEffect::loss); }

  /// The way from the least loss to the least cost: each step takes one knob one choice down, the steps that save most
  /// for what they lose first. At least one assignment; costs fall strictly.
  std::vector<Assignment> path() const;

 private:
  double sum(const Assignment& assignment, double ChoiceEffect::*member) const;

  std::vector<std::vector<ChoiceEffect>> effects_;
};

} // namespace tessera::bringup
