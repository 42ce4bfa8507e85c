// Each stage can fail: a fault planted on the device's side is seen by its stage, which names the module.

#include <gtest/gtest.h>

#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using testing::Fault;
using Path = Fault::Path;

std::vector<std::string> failed_stages(const Report& report) {
  std::vector<std::string> names;
  for (const StageResult& stage : report.stages) {
    if (stage.verdict == Verdict::FAILED) names.push_back(stage.name);
  }
  return names;
}

const StageResult& stage_of(const Report& report, const std::string& name) {
  for (const StageResult& stage : report.stages) {
    if (stage.name == name) return stage;
  }
  throw std::out_of_range(name);
}

const Row& first_failure(const StageResult& stage) {
  for (const Row& row : stage.rows) {
    if (!row.passed) return row;
  }
  throw std::out_of_range("no row of " + stage.name + " failed: " + stage.message);
}

TEST(Stages, AllPassOnAModelThatIsRight) {
  Bench bench;
  const Report report = bench.run();
  EXPECT_TRUE(report.passed()) << to_table(report);
  EXPECT_EQ(report.stages.size(), 13u);
  for (const StageResult& stage : report.stages) {
    EXPECT_EQ(stage.verdict, Verdict::PASSED) << stage.name << stage.message;
    for (const Row& row : stage.rows) EXPECT_TRUE(row.advice.empty()) << row.advice;
  }
}

struct Planted {
  Fault fault;
  std::vector<std::string> stages; // that must fail, the first of which names
  std::string module;
};

void PrintTo(const Planted& planted, std::ostream* out) {
  *out << planted.stages.front() << " for " << planted.module;
}

class PlantedFault : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, FailsItsStageNamingTheModule) {
  Bench bench(GetParam().fault);
  const Report report = bench.run();
  EXPECT_EQ(failed_stages(report), GetParam().stages) << to_table(report);
  EXPECT_FALSE(report.passed());
  const Row& row = first_failure(stage_of(report, GetParam().stages.front()));
  EXPECT_EQ(row.module, GetParam().module);
  EXPECT_FALSE(failure_text(row).empty());
  EXPECT_FALSE(row.advice.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Stages, PlantedFault,
    ::testing::Values(
        Planted{{Path::DECODE_MODULE, "layers.1.mlp"}, {"decode-modules"}, "layers.1.mlp"},
        Planted{{Path::DECODE_MODULE, "embedding"}, {"decode-modules"}, "embedding"},
        Planted{{Path::DECODE_MODULE, "layers.0.input_norm"}, {"decode-modules"}, "layers.0.input_norm"},
        Planted{{Path::DECODE_MODULE, "layers.2.rope"}, {"decode-modules"}, "layers.2.rope"},
        Planted{{Path::DECODE_MODULE, "layers.2.attention"}, {"decode-modules"}, "layers.2.attention"},
        Planted{{Path::DECODE_MODULE, "lm_head"}, {"decode-modules"}, "lm_head"},
        Planted{{Path::DECODE_MODULE, "lm_head", Fault::Kind::SCALE}, {"decode-modules"}, "lm_head"},
        Planted{{Path::DECODE_MODULE, "final_norm", Fault::Kind::NOT_A_NUMBER}, {"decode-modules"}, "final_norm"},
        Planted{{Path::DECODE_MODULE, "layers.1"}, {"decoder-layer"}, "layers.1"},
        Planted{{Path::PREFILL_MODULE, "layers.0.attention"}, {"prefill-modules"}, "layers.0.attention"},
        Planted{{Path::PREFILL_MODULE, "layers.2"}, {"prefill-modules"}, "layers.2"},
        // Decode serves five stages; each one names what it sees of it.
        Planted{{Path::DECODE, "layers.1"},
                {"full-decode", "decode-as-prefill", "full-model", "teacher-forcing", "generation"},
                "layers.1"},
        Planted{{Path::DECODE, "logits"},
                {"full-decode", "decode-as-prefill", "full-model", "teacher-forcing", "generation"},
                "logits"},
        Planted{{Path::PREFILL, "layers.2"}, {"full-model", "teacher-forcing"}, "prefill layers.2"},
        Planted{{Path::PREFILL_LAST, "logits"}, {"generation"}, "prompt 1"},
        Planted{{Path::TRACED, "logits"}, {"trace-and-queues"}, "traced"},
        Planted{{Path::TWO_QUEUES, "logits"}, {"trace-and-queues"}, "two queues"}));

TEST(Stages, DecodeFaultIsNamedByEachStageThatMeetsIt) {
  Bench bench({Path::DECODE, "layers.1"});
  const Report report = bench.run();
  EXPECT_EQ(first_failure(stage_of(report, "decode-as-prefill")).module, "prompt 0");
  EXPECT_EQ(first_failure(stage_of(report, "full-model")).module, "decode logits");
  EXPECT_EQ(first_failure(stage_of(report, "teacher-forcing")).module, "text");
  EXPECT_TRUE(first_failure(stage_of(report, "generation")).module.starts_with("prompt "));
}

TEST(Stages, LaterLayersPointAtTheFirstThatFails) {
  Bench bench({Path::DECODE, "layers.0"});
  const Report report = bench.run({.stages = {"full-decode"}});
  const auto& rows = report.stages.front().rows;
  EXPECT_TRUE(rows[0].passed);
  EXPECT_TRUE(rows[1].advice.starts_with("the first to fail")) << rows[1].advice;
  EXPECT_EQ(rows[2].advice, "mend layers.0 first, which this follows");
}

TEST(Stages, BaselineFailsWhenTheDeviceMisreadsTheConfig) {
  Bench bench;
  bench.faulty.mutable_info().attention_width = 32;
  const Report report = bench.run({.stages = {"baseline"}});
  const Row& row = first_failure(report.stages.front());
  EXPECT_EQ(row.module, "dimensions");
  EXPECT_EQ(row.notes.front(), "attention_width is 32 on the device and 16 in the reference");
}

TEST(Stages, BaselineFailsForIdsOutsideTheVocabulary) {
  Bench bench;
  bench.material.prompts.push_back({1, 32});
  const Report report = bench.run({.stages = {"baseline"}});
  EXPECT_EQ(first_failure(report.stages.front()).module, "token ids");
  EXPECT_EQ(failure_text(first_failure(report.stages.front())), "highest 32 must be at most 31");
}

TEST(Stages, ErrorOfAModuleIsThatModulesFailure) {
  Bench bench({Path::DECODE_MODULE, "layers.0.mlp", Fault::Kind::THROW});
  const Report report = bench.run({.stages = {"decode-modules"}});
  const Row& row = first_failure(report.stages.front());
  EXPECT_EQ(row.module, "layers.0.mlp");
  EXPECT_EQ(row.notes.front(), "[test] the kernel failed");
  EXPECT_TRUE(report.stages.front().rows.back().passed); // the others were still judged
}

TEST(Stages, ErrorOfAStageDoesNotKeepTheNextFromRunning) {
  Bench bench({Path::DECODE, "logits", Fault::Kind::THROW});
  const Report report = bench.run({.stages = {"full-decode", "prefill-modules"}});
  EXPECT_EQ(report.stages[0].verdict, Verdict::FAILED);
  EXPECT_EQ(report.stages[0].message, "[test] the kernel failed");
  EXPECT_EQ(report.stages[1].verdict, Verdict::PASSED);
}

TEST(Stages, GenerationIsSkippedWithoutAPrompt) {
  Bench bench;
  bench.material.prompts.clear();
  const Report report = bench.run({.stages = {"generation", "teacher-forcing"}});
  EXPECT_EQ(stage_of(report, "generation").verdict, Verdict::SKIPPED);
  EXPECT_EQ(stage_of(report, "generation").message, "no prompt was given; give --prompt");
  EXPECT_EQ(stage_of(report, "teacher-forcing").verdict, Verdict::PASSED);
}

TEST(Stages, GenerationShowsBothTexts) {
  Bench bench;
  Inputs inputs = bench.inputs();
  Progress silent;
  inputs.decode_text = [](std::span<const std::int32_t> ids) { return fmt::format("<{}>\n", ids.size()); };
  const Report report = run(inputs, {.stages = {"generation"}, .generation_tokens = 5}, silent);
  EXPECT_EQ(report.stages[0].rows.at(0).notes.at(0), "reference: \"<5>\\n\"");
  EXPECT_EQ(report.stages[0].rows.at(0).notes.at(1), "device:    \"<5>\\n\"");
}

TEST(Stages, TeacherForcingJudgesTokensWhereTheReferencePredictsTheText) {
  Bench bench;
  const Row random_text = bench.run({.stages = {"teacher-forcing"}}).stages[0].rows.at(0);
  EXPECT_EQ(random_text.figures.at(3).name, "top1");
  EXPECT_FALSE(random_text.figures[3].bound.has_value());
  EXPECT_TRUE(random_text.notes.at(0).starts_with("top-1 and top-5 are not judged"));

  Ids own_text{1};
  const Ids continuation = *bench.reference.continuation(own_text, 40);
  own_text.insert(own_text.end(), continuation.begin(), continuation.end());
  bench.material.texts = {own_text};
  const Row row = bench.run({.stages = {"teacher-forcing"}}).stages[0].rows.at(0);
  EXPECT_EQ(row.figures.at(3).bound->limit, 0.96);
  EXPECT_DOUBLE_EQ(row.figures.at(4).bound->limit, 1.0 - 1.0 / 41); // one miss in 41 positions is allowed
  EXPECT_TRUE(row.notes.empty());
}

TEST(Stages, AllLayersAreTakenWhenAskedFor) {
  Bench bench;
  const Report some = bench.run({.stages = {"decoder-layer"}});
  EXPECT_EQ(some.stages[0].rows.size(), 3u); // of three layers: first, middle, last
  const Report all = bench.run({.stages = {"decoder-layer"}, .all_layers = true});
  EXPECT_EQ(all.stages[0].rows.size(), 3u);
}

struct PlantedInForm {
  bool shares_layers;
  Fault fault;
  std::string module;
};
void PrintTo(const PlantedInForm& planted, std::ostream* out) {
  *out << planted.module;
}

class PlantedFaultInAForm : public ::testing::TestWithParam<PlantedInForm> {};

TEST_P(PlantedFaultInAForm, FailsItsStageAlone) {
  Bench bench;
  (GetParam().shares_layers ? bench.shared_fault : bench.copies_fault) = GetParam().fault;
  const Report report = bench.run();
  const std::string stage = GetParam().shares_layers ? "tensor-parallel" : "data-parallel";
  EXPECT_EQ(failed_stages(report), std::vector<std::string>{stage});
  const Row& row = first_failure(stage_of(report, stage));
  EXPECT_EQ(row.module, GetParam().module);
  EXPECT_FALSE(row.advice.empty() && row.notes.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, PlantedFaultInAForm,
    ::testing::Values(PlantedInForm{false, {Path::DECODE_MODULE, "layers.1.mlp"}, "dp 2: layers.1.mlp"},
                      PlantedInForm{false, {Path::DECODE_MODULE, "lm_head", Fault::Kind::SCALE}, "dp 2: lm_head"},
                      PlantedInForm{false, {Path::DECODE, "logits", Fault::Kind::SCALE}, "dp 2: logits"},
                      PlantedInForm{true, {Path::DECODE_MODULE, "layers.0.attention"}, "tp 2: layers.0.attention"},
                      PlantedInForm{
                          true, {Path::PREFILL_MODULE, "layers.2", Fault::Kind::THROW}, "tp 2: layers.2 in prefill"},
                      PlantedInForm{true, {Path::PREFILL, "logits"}, "tp 2: logits"}));

} // namespace
} // namespace tessera::bringup
