// Faults of the whole model's decode, which its modules by themselves do not have.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/bringup/bisect/bisect.hpp"
#include "tessera/bringup/bisect/report.hpp"
#include "tests/bringup/faulty_model.hpp"
#include "tests/generate/tiny_model.hpp"

namespace tessera::bringup::bisect {
namespace {

using testing::Fault;
using testing::FaultyModel;
using ::testing::HasSubstr;
using testing::TinyModel;

Result bisect_of(const Fault& fault) {
  TinyModel reference;
  TinyModel inner({.bfloat16_weights = true});
  FaultyModel device(inner, fault);
  Ids text;
  for (std::int32_t i = 0; i < 12; ++i) text.push_back((i * i + 7 * i + 3) % 32);
  return bisect({.device = device, .reference = reference, .texts = {text}}, {.decode_positions = 4});
}

TEST(BisectDecode, NamesTheFirstLayerThatComesOutWrong) {
  const Result result = bisect_of({Fault::Path::DECODE, "layers.1"});
  EXPECT_EQ(result.finding.cause, Cause::DECODE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1");
  EXPECT_THAT(result.finding.sentence, HasSubstr("whole model decodes"));
}

TEST(BisectDecode, NamesTheLmHeadWhereOnlyTheLogitsAreWrong) {
  const Result result = bisect_of({Fault::Path::DECODE, "logits"});
  EXPECT_EQ(result.finding.cause, Cause::DECODE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "lm_head");
}

TEST(BisectDecode, NamesAModuleThatCannotBeRun) {
  const Result result = bisect_of({Fault::Path::PREFILL_MODULE, "layers.2.mlp", Fault::Kind::THROW});
  EXPECT_EQ(result.finding.cause, Cause::MODULE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.2.mlp");
  EXPECT_THAT(result.finding.sentence, HasSubstr("the kernel failed"));
}

TEST(BisectDecode, FindsNothingWhereOnlyWeightsAreRounded) {
  const Result result = bisect_of({});
  EXPECT_EQ(result.finding.cause, Cause::NONE) << to_table(result);
}

} // namespace
} // namespace tessera::bringup::bisect
