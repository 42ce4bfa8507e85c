#include "tessera/bringup/report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tessera::bringup {

bool Figure::holds() const {
  if (!bound) return true;
  return bound->kind == Bound::Kind::AT_LEAST ? value >= bound->limit : value <= bound->limit;
}

bool Report::passed() const {
  const auto is = [](Verdict verdict) {
    return [verdict](const StageResult& stage) { return stage.verdict == verdict; };
  };
  return std::any_of(stages.begin(), stages.end(), is(Verdict::PASSED)) &&
         std::none_of(stages.begin(), stages.end(), is(Verdict::FAILED)) &&
         std::none_of(stages.begin(), stages.end(), is(Verdict::NOT_RUN));
}

std::string to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::PASSED:
      return "passed";
    case Verdict::FAILED:
      return "failed";
    case Verdict::SKIPPED:
      return "skipped";
    case Verdict::NOT_RUN:
      return "not run";
  }
  return "";
}

std::string failure_text(const Row& row) {
  for (const Figure& figure : row.figures) {
    if (figure.holds()) continue;
    const bool least = figure.bound->kind == Bound::Kind::AT_LEAST;
    return fmt::format("{} {:.6g} must be at {} {:.6g}", figure.name, figure.value, least ? "least" : "most",
                       figure.bound->limit);
  }
  return "";
}

} // namespace tessera::bringup
