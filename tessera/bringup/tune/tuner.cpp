#include "tessera/bringup/tune/tuner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "tessera/base/error.hpp"
#include "tessera/bringup/tune/precision_path.hpp"

namespace tessera::bringup {
namespace {

constexpr int kAttempts = 64;      // exchanges that are thought of for each that is measured
constexpr double kOptimism = 1.05; // of what is expected to miss a limit by less than this, some keeps to it

class Search {
 public:
  Search(const TuneProblem& problem, const TuneOptions& options)
      : problem_(problem), options_(options), random_(options.seed) {}

  TuneResult run() {
    require_reachable_bytes();
    base_ = measure_fitting(file_of(problem_.space.base_assignment()), problem_.space.base());
    base::require(options_.objective == TuneObjective::WEIGHT_BYTES || points_[base_].cost.decode_ns > 0,
                  "[tune] the objective tokens-per-s needs a board whose architecture has been measured; take "
                  "weight-bytes");
    require_finite(points_[base_].accuracy);
    for (const std::string_view preset : kTunePresets) {
      if (preset != problem_.space.base()) measure({{"base", preset}}, std::string(preset));
    }
    const EffectTable effects(measure_effects());
    const std::vector<Assignment> path = fitting(effects.path());
    measure_front(path);
    if (const auto start = seeks_accuracy() ? first_within(path, effects) : furthest(path))
      improve(*start, effects, seeks_accuracy() ? &Search::more_accurate : &Search::cheaper);
    return result();
  }

 private:
  /// Whether the limit is one of bytes alone: the most accurate precision is wanted, not the cheapest.
  bool seeks_accuracy() const { return options_.limits.max_weight_bytes && !options_.limits.of_accuracy(); }
  double cost_of(const TuneCost& cost) const {
    return options_.objective == TuneObjective::WEIGHT_BYTES || seeks_accuracy() ? cost.weight_bytes : cost.decode_ns;
  }
  nlohmann::json file_of(const Assignment& assignment) const { return problem_.space.file(assignment); }

  void advance(const std::string& what) {
    ++done_;
    if (options_.progress) options_.progress(done_, std::max(total_, done_), what);
  }

  /// Bytes are known without a measurement: the fewest are a preset's, or those of each knob's last choice.
  void require_reachable_bytes() const {
    if (!options_.limits.max_weight_bytes) return;
    Assignment smallest;
    for (const PrecisionKnob& knob : problem_.space.knobs()) smallest.push_back(knob.choices.size() - 1);
    double fewest = std::numeric_limits<double>::infinity();
    const auto consider = [&](const nlohmann::json& file) {
      try {
        fewest = std::min(fewest, problem_.cost(file).weight_bytes);
      } catch (const base::OutOfMemory&) { // no answer then
      }
    };
    consider(file_of(smallest));
    for (const std::string_view preset : kTunePresets) consider({{"base", preset}});
    base::require(!std::isfinite(fewest) || fewest <= *options_.limits.max_weight_bytes,
                  "[tune] a token needs {:.0f} bytes of weights or more, by what may change here; received a limit of "
                  "{:.0f}; allow that many, or more --groups",
                  fewest, *options_.limits.max_weight_bytes);
  }

  /// The divergence of logits that are no numbers is infinite.
  TuneAccuracy accuracy(const nlohmann::json& file, TextPart part) const {
    TuneAccuracy measured = problem_.accuracy(file, part);
    if (!std::isfinite(measured.kl_divergence)) measured.kl_divergence = std::numeric_limits<double>::infinity();
    return measured;
  }
  void require_finite(const TuneAccuracy& base) const {
    base::require(std::isfinite(base.kl_divergence),
                  "[tune] the search must start from a precision whose logits are finite; those of {} are not; take "
                  "another --precision; tessera bisect finds the module",
                  problem_.space.base());
  }

  /// Throws OutOfMemory for what does not fit.
  std::size_t measure_fitting(const nlohmann::json& file, const std::string& name) {
    TunePoint point{
        .name = name, .file = file, .cost = problem_.cost(file), .accuracy = accuracy(file, TextPart::JUDGED)};
    points_.push_back(std::move(point));
    by_file_[file.dump()] = points_.size() - 1;
    advance(name);
    return points_.size() - 1;
  }
  /// Nothing for what does not fit.
  std::optional<std::size_t> measure(const nlohmann::json& file, const std::string& name) {
    const auto known = by_file_.find(file.dump());
    if (known != by_file_.end()) return known->second;
    std::optional<std::size_t> point;
    try {
      point = measure_fitting(file, name);
    } catch (const base::OutOfMemory& error) {
      does_not_fit(name, file, error);
    }
    by_file_[file.dump()] = point;
    return point;
  }
  std::optional<std::size_t> measure_step(const std::vector<Assignment>& path, std::size_t step) {
    return measure(file_of(path[step]), fmt::format("step {} of {}", step, path.size() - 1));
  }
  void does_not_fit(const std::string& name, const nlohmann::json& file, const base::OutOfMemory& error) {
    too_large_.push_back({.name = name, .file = file, .reason = error.what()});
  }
  const TuneAccuracy& calibration(const nlohmann::json& file, const std::string& name) {
    const auto known = calibrations_.find(file.dump());
    if (known != calibrations_.end()) return known->second;
    const TuneAccuracy& measured =
        calibrations_.emplace(file.dump(), accuracy(file, TextPart::CALIBRATION)).first->second;
    advance(name);
    return measured;
  }

  /// Whether it can matter: a choice that is meant to be less accurate must save something.
  bool worth_measuring(const PrecisionKnob& knob, std::size_t choice, const TuneCost& cost) const {
    return choice < knob.base || cost_of(cost) < cost_of(points_[base_].cost);
  }

  std::vector<std::vector<ChoiceEffect>> measure_effects() {
    const auto& knobs = problem_.space.knobs();
    const Assignment base = problem_.space.base_assignment();
    std::int64_t choices = 0;
    for (const PrecisionKnob& knob : knobs) choices += static_cast<std::int64_t>(knob.choices.size()) - 1;
    total_ = done_ + 1 + choices + options_.front_points + options_.trials + 8;
    require_finite(calibration(points_[base_].file, problem_.space.base()));
    std::vector<std::vector<ChoiceEffect>> effects;
    for (std::size_t i = 0; i < knobs.size(); ++i) {
      const PrecisionKnob& knob = knobs[i];
      effects.emplace_back(knob.choices.size());
      for (std::size_t choice = 0; choice < knob.choices.size(); ++choice) {
        if (choice == knob.base) {
          effects.back()[choice].known = true;
          continue;
        }
        Assignment changed = base;
        changed[i] = choice;
        effects.back()[choice] = effect_of(knob, choice, file_of(changed));
      }
    }
    return effects;
  }

  /// What a choice alone changes; unknown where it cannot matter, does not fit or has logits that are no numbers.
  ChoiceEffect effect_of(const PrecisionKnob& knob, std::size_t choice, const nlohmann::json& file) {
    const PrecisionChoice& format = knob.choices[choice];
    const std::string name =
        std::string(to_string(format.dtype)) + (format.compute.empty() ? "" : " " + format.compute);
    const TunePoint& base = points_[base_];
    try {
      const TuneCost cost = problem_.cost(file);
      if (!worth_measuring(knob, choice, cost)) {
        --total_;
        return {};
      }
      const double change =
          calibration(file, knob.name()).kl_divergence - calibration(base.file, problem_.space.base()).kl_divergence;
      sensitivities_.push_back({.knob = knob.name(),
                                .choice = name,
                                .kl_change = change,
                                .bytes_change = cost.weight_bytes - base.cost.weight_bytes,
                                .decode_ns_change = cost.decode_ns - base.cost.decode_ns});
      return {cost_of(cost) - cost_of(base.cost), change, std::isfinite(change)};
    } catch (const base::OutOfMemory& error) {
      --total_;
      does_not_fit(knob.name() + " in " + name, file, error);
      return {};
    }
  }

  /// The way from its first step that fits on: memory shrinks along it as costs do.
  std::vector<Assignment> fitting(std::vector<Assignment> path) {
    const auto too_large = [&](const Assignment& step) {
      try {
        problem_.cost(file_of(step));
      } catch (const base::OutOfMemory&) {
        return true;
      }
      return false;
    };
    if (too_large(path.front())) path.erase(path.begin(), std::ranges::partition_point(path, too_large));
    return path;
  }

  void measure_front(const std::vector<Assignment>& path) {
    const auto last = static_cast<std::int64_t>(path.size()) - 1;
    const std::int64_t count = std::min(options_.front_points, last + 1);
    for (std::int64_t i = 0; i < count; ++i) {
      measure_step(path, static_cast<std::size_t>(count == 1 ? 0 : i * last / (count - 1)));
    }
  }

  bool keeps_accuracy(std::size_t index) {
    const TunePoint& point = points_[index];
    const TuneLimits& limits = options_.limits;
    if (!std::isfinite(point.accuracy.kl_divergence)) return false;
    if (limits.of_accuracy()) {
      return point.accuracy.top1 >= limits.min_top1.value_or(0) &&
             point.accuracy.kl_divergence <= limits.max_kl.value_or(std::numeric_limits<double>::infinity());
    }
    if (limits.max_weight_bytes) return true;
    if (index == base_) return true;
    // Top-1 of a thousand tokens hangs on a few near ties; of the text that is not judged the divergence suffices.
    const TuneAccuracy& base = points_[base_].accuracy;
    return point.accuracy.top1 >= base.top1 && point.accuracy.kl_divergence <= base.kl_divergence &&
           calibration(point.file, point.name).kl_divergence <= calibration(points_[base_].file, "base").kl_divergence;
  }
  bool within_bytes(const TuneCost& cost) const {
    return cost.weight_bytes <= options_.limits.max_weight_bytes.value_or(std::numeric_limits<double>::infinity());
  }

  struct Current {
    Assignment assignment;
    std::size_t point = 0;
  };

  /// The last step of the way that fits and keeps to the limits of accuracy, by bisection; else the base, if that does.
  std::optional<Current> furthest(const std::vector<Assignment>& path) {
    std::optional<Current> last;
    // What does not fit lies before what does: the bisection goes on behind it.
    const auto may_go_on = [&](std::size_t step) {
      const std::optional<std::size_t> point = measure_step(path, step);
      if (!point) return true;
      if (!keeps_accuracy(*point)) return false;
      last = {path[step], *point};
      return true;
    };
    if (!path.empty() && may_go_on(0)) {
      std::size_t good = 0;
      std::size_t bad = path.size();
      while (bad - good > 1) {
        const std::size_t middle = (good + bad) / 2;
        (may_go_on(middle) ? good : bad) = middle;
      }
    }
    if (!last && keeps_accuracy(base_)) last = {problem_.space.base_assignment(), base_};
    return last;
  }

  /// The first step of the way that fits and keeps to the limit of bytes; the last where none does.
  std::optional<Current> first_within(const std::vector<Assignment>& path, const EffectTable& effects) {
    const double room = *options_.limits.max_weight_bytes - points_[base_].cost.weight_bytes;
    for (std::size_t step = 0; step < path.size(); ++step) {
      if (step + 1 < path.size() && effects.cost(path[step]) > room) continue;
      if (const auto point = measure_step(path, step)) return Current{path[step], *point};
    }
    return std::nullopt;
  }

  double kl_limit() const {
    const TuneLimits& limits = options_.limits;
    if (limits.max_kl) return *limits.max_kl;
    return limits.of_accuracy() ? std::numeric_limits<double>::infinity() : points_[base_].accuracy.kl_divergence;
  }

  /// Whether an assignment is expected to keep to the limits of accuracy, by what the effects add up to. Of misses it
  /// is known that they grow with the root of the divergence.
  bool promising(const Assignment& assignment, const Current& current, const EffectTable& effects) const {
    const TuneAccuracy& now = points_[current.point].accuracy;
    const double kl = now.kl_divergence + effects.loss(assignment) - effects.loss(current.assignment);
    if (kl > kOptimism * kl_limit()) return false;
    const double misses = (1 - now.top1) * std::sqrt(std::max(kl, 0.0) / std::max(now.kl_divergence, 1e-12));
    return !options_.limits.min_top1 || misses <= kOptimism * (1 - *options_.limits.min_top1);
  }

  std::size_t random_knob(const EffectTable& effects) {
    return static_cast<std::size_t>(random_() % static_cast<std::uint64_t>(effects.knobs()));
  }

  /// The knob's next choice that is cheaper, or (`up`) loses less; its own when there is none.
  static std::size_t neighbour(const std::vector<ChoiceEffect>& choices, std::size_t at, bool up) {
    std::size_t best = at;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (!choices[i].known) continue;
      if (up ? choices[i].loss >= choices[at].loss : choices[i].cost >= choices[at].cost) continue;
      const bool nearer = up ? choices[i].cost < choices[best].cost : choices[i].cost > choices[best].cost;
      if (best == at || nearer) best = i;
    }
    return best;
  }

  /// Moves the knob, `moved` apart, whose neighbour is worth most: the least loss for what it saves, or (`up`) the most
  /// accuracy for what it costs, within `room`. False when there is none.
  static bool compensate(Assignment& assignment, std::size_t moved, const EffectTable& effects, bool up, double room) {
    std::size_t knob = effects.knobs();
    double best = 0;
    for (std::size_t i = 0; i < effects.knobs(); ++i) {
      const auto& choices = effects.of(i);
      const std::size_t at = assignment[i];
      const std::size_t to = neighbour(choices, at, up);
      if (i == moved || to == at) continue;
      const double cost = choices[to].cost - choices[at].cost;
      if (up && cost > room) continue;
      const double gain = choices[at].loss - choices[to].loss;
      const double worth = up ? gain / std::max(cost, 1e-9) : gain / std::max(-cost, 1e-9);
      if (knob < effects.knobs() && worth <= best) continue;
      knob = i;
      best = worth;
    }
    if (knob == effects.knobs()) return false;
    assignment[knob] = neighbour(effects.of(knob), assignment[knob], up);
    return true;
  }

  /// An exchange that should be cheaper and keep to the limits: one choice down, others up.
  bool cheaper(Assignment& assignment, const Current& current, const EffectTable& effects) {
    const std::size_t knob = random_knob(effects);
    assignment[knob] = neighbour(effects.of(knob), assignment[knob], false);
    const auto saved = [&] { return effects.cost(current.assignment) - effects.cost(assignment); };
    while (saved() > 0 && !promising(assignment, current, effects)) {
      if (!compensate(assignment, knob, effects, true, 0.999 * saved())) return false;
    }
    return saved() > 0;
  }

  /// An exchange that should be more accurate and within the bytes: one choice up, others down.
  bool more_accurate(Assignment& assignment, const Current& current, const EffectTable& effects) {
    const std::size_t knob = random_knob(effects);
    assignment[knob] = neighbour(effects.of(knob), assignment[knob], true);
    const double room = *options_.limits.max_weight_bytes - points_[base_].cost.weight_bytes;
    while (effects.cost(assignment) > room) {
      if (!compensate(assignment, knob, effects, false, 0)) return false;
    }
    return effects.loss(assignment) < effects.loss(current.assignment);
  }

  bool better(std::size_t point, std::size_t than) {
    const TunePoint a = points_[point];
    const TunePoint b = points_[than];
    if (!within_bytes(a.cost)) return false;
    if (seeks_accuracy()) return a.accuracy.kl_divergence < b.accuracy.kl_divergence;
    return cost_of(a.cost) < cost_of(b.cost) && keeps_accuracy(point);
  }

  using Exchange = bool (Search::*)(Assignment&, const Current&, const EffectTable&);

  void improve(Current current, const EffectTable& effects, Exchange exchange) {
    for (std::int64_t trial = 0; trial < options_.trials; ++trial) {
      for (int attempt = 0; attempt < kAttempts; ++attempt) {
        Assignment candidate = current.assignment;
        if (!(this->*exchange)(candidate, current, effects) || by_file_.contains(file_of(candidate).dump())) continue;
        const auto point = measure(file_of(candidate), fmt::format("exchange {}", trial + 1));
        if (point && better(*point, current.point)) current = {candidate, *point};
        break;
      }
    }
  }

  /// The best of all that was measured.
  std::optional<std::size_t> choose() {
    std::vector<std::size_t> order(points_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto key = [&](std::size_t i) {
      const TunePoint& point = points_[i];
      return seeks_accuracy() ? std::pair{point.accuracy.kl_divergence, cost_of(point.cost)}
                              : std::pair{cost_of(point.cost), point.accuracy.kl_divergence};
    };
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    for (const std::size_t i : order) {
      if (within_bytes(points_[i].cost) && keeps_accuracy(i)) return i;
    }
    return std::nullopt;
  }

  TuneResult result() {
    TuneResult result;
    const std::optional<std::size_t> best = choose();
    result.base_calibration = calibration(points_[base_].file, "base");
    if (best) result.chosen_calibration = calibration(points_[*best].file, "chosen");
    for (TunePoint& point : points_) {
      point.on_front =
          std::isfinite(point.accuracy.kl_divergence) && std::ranges::none_of(points_, [&](const TunePoint& other) {
            const double cost = cost_of(other.cost) - cost_of(point.cost);
            const double kl = other.accuracy.kl_divergence - point.accuracy.kl_divergence;
            return cost <= 0 && kl <= 0 && (cost < 0 || kl < 0);
          });
    }
    result.chosen = best;
    result.points = std::move(points_);
    result.sensitivities = std::move(sensitivities_);
    result.too_large = std::move(too_large_);
    return result;
  }

  const TuneProblem& problem_;
  const TuneOptions& options_;
  std::mt19937_64 random_;
  std::vector<TunePoint> points_;
  std::map<std::string, std::optional<std::size_t>> by_file_; // nothing: it does not fit
  std::map<std::string, TuneAccuracy> calibrations_;
  std::vector<TuneSensitivity> sensitivities_;
  std::vector<TuneTooLarge> too_large_;
  std::size_t base_ = 0;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

void check(const TuneOptions& options) {
  const TuneLimits& limits = options.limits;
  const auto number = [](const std::optional<double>& value) { return !value || std::isfinite(*value); };
  base::require(number(limits.min_top1) && number(limits.max_kl) && number(limits.max_weight_bytes) &&
                    limits.min_top1.value_or(1) <= 1,
                "[tune] limits must be numbers, min_top1 a share of at most 1; received {}, {} and {}",
                limits.min_top1.value_or(0), limits.max_kl.value_or(0), limits.max_weight_bytes.value_or(0));
  base::require(options.trials >= 0 && options.front_points >= 1,
                "[tune] trials must be 0 or more, points of the front 1 or more; received {} and {}", options.trials,
                options.front_points);
}

} // namespace

TuneResult tune(const TuneProblem& problem, const TuneOptions& options) {
  check(options);
  return Search(problem, options).run();
}

} // namespace tessera::bringup
