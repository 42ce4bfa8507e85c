#include "tessera/bringup/tune/precision_path.hpp"

#include <algorithm>

namespace tessera::bringup {
namespace {

struct Step {
  std::size_t knob = 0;
  std::size_t to = 0;
  double slope = 0; // loss for each unit of cost saved
};

/// The choice of the least loss, the cheapest of equals.
std::size_t most_accurate(const std::vector<ChoiceEffect>& choices) {
  std::size_t best = choices.size();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (!choices[i].known) continue;
    const bool better = best == choices.size() || choices[i].loss < choices[best].loss ||
                        (choices[i].loss == choices[best].loss && choices[i].cost < choices[best].cost);
    if (better) best = i;
  }
  return best;
}

/// The steps of one knob along its lower convex hull.
void add_steps(std::size_t knob, const std::vector<ChoiceEffect>& choices, std::vector<Step>& steps) {
  std::size_t at = most_accurate(choices);
  while (true) {
    Step next{.knob = knob, .to = choices.size()};
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const double saved = choices[at].cost - choices[i].cost;
      if (!choices[i].known || saved <= 0) continue;
      const double slope = (choices[i].loss - choices[at].loss) / saved;
      if (next.to == choices.size() || slope < next.slope) next = {knob, i, slope};
    }
    if (next.to == choices.size()) return;
    steps.push_back(next);
    at = next.to;
  }
}

} // namespace

double EffectTable::sum(const Assignment& assignment, double ChoiceEffect::*member) const {
  double total = 0;
  for (std::size_t knob = 0; knob < effects_.size(); ++knob) total += effects_[knob][assignment[knob]].*member;
  return total;
}

std::vector<Assignment> EffectTable::path() const {
  Assignment at;
  std::vector<Step> steps;
  for (std::size_t knob = 0; knob < effects_.size(); ++knob) {
    at.push_back(most_accurate(effects_[knob]));
    add_steps(knob, effects_[knob], steps);
  }
  // Of one knob the slopes rise, and equal ones keep their order: no step comes before the one that it follows.
  std::ranges::stable_sort(steps, [](const Step& a, const Step& b) { return a.slope < b.slope; });
  std::vector<Assignment> path{at};
  for (const Step& step : steps) {
    at[step.knob] = step.to;
    path.push_back(at);
  }
  return path;
}

} // namespace tessera::bringup
