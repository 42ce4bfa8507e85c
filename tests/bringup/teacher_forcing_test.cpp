#include "tessera/bringup/teacher_forcing.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using testing::Fault;

const Figure& figure(const Row& row, const std::string& name) {
  return *std::find_if(row.figures.begin(), row.figures.end(), [&](const Figure& one) { return one.name == name; });
}

TEST(TeacherForcing, GivesTheStagesFigures) {
  Bench bench;
  const Report report = bench.run({.stages = {"teacher-forcing"}});
  const Row& row = report.stages.front().rows.front();
  const TeacherForcing forced = teacher_force(bench.device, bench.reference, bench.material.texts);
  EXPECT_EQ(forced.agreement.top1, figure(row, "top1").value);
  EXPECT_EQ(forced.agreement.kl_divergence, figure(row, "kl_divergence").value);
  EXPECT_EQ(forced.agreement.pcc, figure(row, "pcc").value);
  EXPECT_EQ(static_cast<double>(forced.tokens.size()), figure(row, "positions").value);
}

TEST(TeacherForcing, NamesTextAndPositionOfEachToken) {
  Bench bench;
  const TeacherForcing forced = teacher_force(bench.device, bench.reference, bench.material.texts);
  ASSERT_EQ(forced.tokens.size(), 100u);
  EXPECT_EQ(forced.tokens[40].text, 1u);
  EXPECT_EQ(forced.tokens[40].position, 0);
  double divergence = 0.0;
  double hits = 0.0;
  for (const ForcedToken& token : forced.tokens) {
    divergence += token.agreement.kl_divergence;
    hits += token.agreement.top1 ? 1.0 : 0.0;
  }
  EXPECT_NEAR(divergence / 100.0, forced.agreement.kl_divergence, 1e-12);
  EXPECT_NEAR(hits / 100.0, forced.agreement.top1, 1e-12);
}

TEST(TeacherForcing, SeesAFaultOfDecodeThatPrefillHasNot) {
  Bench bench(Fault{.path = Fault::Path::DECODE, .module = "layers.1"});
  const auto& texts = bench.material.texts;
  const double decode = teacher_force(bench.faulty, bench.reference, texts).agreement.kl_divergence;
  const double prefill =
      teacher_force(bench.faulty, bench.reference, texts, {.prefill_positions = 64}).agreement.kl_divergence;
  EXPECT_GT(decode, 10.0 * prefill);
}

TEST(TeacherForcing, StopsWhereTheCallerWants) {
  Bench bench;
  const ForcingOptions options{.progress = [](std::int64_t done, std::int64_t) {
    if (done > 10) throw base::InvalidArgument("stop");
  }};
  EXPECT_THROW(teacher_force(bench.device, bench.reference, bench.material.texts, options), base::InvalidArgument);
}

} // namespace
} // namespace tessera::bringup
