#include <gtest/gtest.h>

#include "tessera/perfmodel/step.hpp"

namespace tessera::perfmodel {
namespace {

OpRecord add(std::int64_t rows) {
  const TensorSpec spec{.shape = {1, 1, rows, 1024}};
  return {.name = "add",
          .inputs = {{.name = "input_tensor_a", .spec = spec}, {.name = "input_tensor_b", .spec = spec}},
          .outputs = {{.name = "output", .spec = spec}}};
}

TEST(StepTime, IsTheSumOfItsOpsAndTheGapsBetween) {
  const BoardSpec& n150 = board("n150");
  StepTime step(n150, {}, constants());
  const double first = step.add(add(1024)).time_ns;
  const double second = step.add(add(64)).time_ns;
  const double gap = constants().of(n150.arch).op_gap_ns;
  EXPECT_NEAR(step.time_ns(), first + second + 2 * gap, 1e-6);
  EXPECT_EQ(step.ops(), 2);
  EXPECT_EQ(step.kinds().at("add").count, 2);
  EXPECT_EQ(step.kinds().at("add").bound(), Bound::DRAM);
  StepTime many(n150, {}, constants());
  many.add(add(1024), 3);
  EXPECT_NEAR(many.time_ns(), 3 * (first + gap), 1e-6);
}

TEST(DecodeTime, AddsTheHostsPart) {
  StepTime step(board("n150"), {}, constants());
  step.add(add(32));
  const HostConstants& host = constants().host;
  const StepRun one{.users = 1, .copies = 1, .chips = 1, .vocab_size = 131072, .traced = true};
  EXPECT_NEAR(decode_ns(step, one, constants()), step.time_ns() + host.step_ns + host.logits_ns, 1e-3);
  StepRun more = one;
  more.users = 32;
  EXPECT_NEAR(decode_ns(step, more, constants()) - decode_ns(step, one, constants()), 31 * host.logit_row_ns, 1e-3);
  more = one;
  more.copies = 4;
  EXPECT_NEAR(decode_ns(step, more, constants()) - decode_ns(step, one, constants()), 3 * host.submesh_ns, 1e-3);
}

TEST(DecodeTime, UntracedWaitsForTheHostsCalls) {
  StepTime step(board("n150"), {}, constants());
  step.add(add(32), 1000);
  StepRun run{.vocab_size = 1024, .traced = false};
  const double untraced = decode_ns(step, run, constants());
  run.traced = true;
  EXPECT_NEAR(untraced - decode_ns(step, run, constants()), 1000 * constants().host.eager_op_ns - step.time_ns(), 1e-3);
}

} // namespace
} // namespace tessera::perfmodel
