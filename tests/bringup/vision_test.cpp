#include "tessera/bringup/classifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/base/error.hpp"
#include "tessera/bringup/l1_watch.hpp"

namespace tessera::bringup {
namespace {

using nn::HostTensor;

/// Two blocks, one of two pieces, on host values; a fault can be planted in any of them.
class FakeClassifier : public nn::Classifier {
 public:
  explicit FakeClassifier(std::string faulty = "", float factor = 1.0F) : faulty_(std::move(faulty)), factor_(factor) {}

  const nn::ClassifierInfo& info() const override { return info_; }
  const std::vector<nn::ClassifierModule>& modules() const override { return modules_; }
  HostTensor forward(const HostTensor& pixel_values, nn::Features* features) override {
    const HostTensor block = run_module("block", pixel_values, pixel_values);
    const HostTensor logits = run_module("classifier", block, pixel_values);
    if (features != nullptr) *features = {{"pixel_values", pixel_values}, {"block", block}, {"classifier", logits}};
    return logits;
  }
  HostTensor run_module(std::string_view name, const HostTensor& x, const HostTensor&) override {
    HostTensor y = x;
    const auto apply = [&](std::string_view module, float (*function)(float)) {
      for (float& value : y.data) value = function(value) * (module == faulty_ ? factor_ : 1.0F);
    };
    if (name == "block.first" || name == "block") apply("block.first", [](float v) { return 2 * v + 1; });
    if (name == "block.second" || name == "block") apply("block.second", [](float v) { return v * v; });
    if (name == "block") apply("block", [](float v) { return v; });
    if (name == "classifier") {
      y.shape = {x.shape[0], x.shape.volume() / x.shape[0]};
      apply("classifier", [](float v) { return v - 1; });
    }
    return y;
  }

 private:
  std::string faulty_;
  float factor_;
  nn::ClassifierInfo info_{.family = "fake", .image_size = 2, .classes = 12};
  std::vector<nn::ClassifierModule> modules_{{"block.first", "pixel_values", false},
                                             {"block.second", "block.first", false},
                                             {"block", "pixel_values", true},
                                             {"classifier", "block", true}};
};

/// One of its modules has circular buffers that L1 is too small for.
class LargeClassifier final : public FakeClassifier {
 public:
  HostTensor run_module(std::string_view name, const HostTensor& x, const HostTensor& items) override {
    if (name != "block.first") return FakeClassifier::run_module(name, x, items);
    device_->note_l1({std::int64_t{1} << 30, 0, {}}, {.name = "conv2d", .scope = "block.first"});
    throw base::OutOfMemory("[conv2d] the circular buffers of a core must end below the tensors");
  }
  runtime::MeshDevice& device() { return *device_; }

 private:
  std::shared_ptr<runtime::MeshDevice> device_ = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
};

HostTensor pixels(std::int64_t images) {
  HostTensor result{{images, 3, 2, 2}, {}};
  for (std::int64_t i = 0; i < images * 12; ++i) result.data.push_back(std::sin(static_cast<float>(i)));
  return result;
}

Report bring_up(FakeClassifier& device, const ClassifierOptions& options = {}, std::vector<std::int64_t> labels = {},
                std::vector<ClassifierForm> forms = {}) {
  FakeClassifier reference;
  Progress silent;
  return run_classifier({.device = device,
                         .reference = reference,
                         .items = pixels(4),
                         .labels = std::move(labels),
                         .forms = std::move(forms)},
                        options, silent);
}

const StageResult& stage_of(const Report& report, const std::string& name) {
  for (const StageResult& stage : report.stages) {
    if (stage.name == name) return stage;
  }
  throw std::runtime_error(name);
}

std::vector<std::string> failing_rows(const StageResult& stage) {
  std::vector<std::string> names;
  for (const Row& row : stage.rows) {
    if (row.passed) continue;
    names.push_back(row.module);
    EXPECT_FALSE(row.advice.empty()) << row.module;
  }
  return names;
}

TEST(VisionBringup, PassesWhereBothModelsAgree) {
  FakeClassifier device;
  const Report report = bring_up(device);
  EXPECT_TRUE(report.passed());
  EXPECT_EQ(report.stages.size(), classifier_stage_names().size());
  EXPECT_EQ(stage_of(report, "data-parallel").verdict, Verdict::SKIPPED);
}

TEST(VisionBringup, NamesTheFaultyModuleInItsStage) {
  using testing::ElementsAre;
  FakeClassifier piece("block.second", 1.5F);
  const Report of_piece = bring_up(piece);
  EXPECT_THAT(failing_rows(stage_of(of_piece, "operators")), ElementsAre("block.second"));
  EXPECT_THAT(failing_rows(stage_of(of_piece, "blocks")), ElementsAre("block"));
  EXPECT_FALSE(of_piece.passed());
  FakeClassifier block("block", -1.0F);
  EXPECT_THAT(failing_rows(stage_of(bring_up(block), "operators")), ElementsAre());
  EXPECT_THAT(failing_rows(stage_of(bring_up(block), "blocks")), ElementsAre("block"));
  FakeClassifier classifier("classifier", NAN);
  EXPECT_THAT(failing_rows(stage_of(bring_up(classifier), "full-model")), ElementsAre("logits"));
  EXPECT_THAT(failing_rows(stage_of(bring_up(classifier), "top-1-agreement")), ElementsAre("logits"));
}

TEST(VisionBringup, AModuleThatL1IsTooSmallForFailsAlone) {
  LargeClassifier device;
  FakeClassifier reference;
  Progress silent;
  const Report report =
      run_classifier({.device = device, .reference = reference, .items = pixels(4), .devices = {&device.device()}},
                     {.stages = {"operators"}}, silent);
  const StageResult& stage = stage_of(report, "operators");
  ASSERT_EQ(stage.rows.size(), 2U) << stage.message;
  EXPECT_THAT(failing_rows(stage), testing::ElementsAre("block.first"));
  const Row& large = stage.rows[0];
  EXPECT_THAT(large.notes.at(0), testing::HasSubstr("[conv2d] the circular buffers"));
  ASSERT_EQ(large.figures.size(), 1U);
  EXPECT_EQ(large.figures[0].name, kL1Figure);
  EXPECT_FALSE(large.figures[0].holds());
  EXPECT_THAT(large.advice, testing::HasSubstr("L1 is too small"));
}

TEST(VisionBringup, LabelsAreHeldToTheReferencesAccuracy) {
  FakeClassifier reference;
  const HostTensor logits = reference.forward(pixels(4), nullptr);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 4; ++i)
    labels.push_back(std::max_element(logits.row(i).begin(), logits.row(i).end()) - logits.row(i).begin());
  FakeClassifier right;
  EXPECT_TRUE(bring_up(right, {}, labels).passed());
  FakeClassifier wrong("classifier", -1.0F);
  EXPECT_THAT(failing_rows(stage_of(bring_up(wrong, {}, labels), "top-1-agreement")),
              testing::ElementsAre("logits", "device on labels"));
}

TEST(VisionBringup, OtherFormsMustGiveTheSameBits) {
  FakeClassifier device;
  FakeClassifier other("classifier", 1.0F + 0x1p-20F);
  const auto form = [](const char* stage, FakeClassifier& model) {
    return ClassifierForm{stage, "a form", [&model](const HostTensor& x) { return model.forward(x, nullptr); }};
  };
  const Report report = bring_up(device, {}, {}, {form("trace-and-queues", device), form("data-parallel", other)});
  EXPECT_EQ(stage_of(report, "trace-and-queues").verdict, Verdict::PASSED);
  EXPECT_EQ(stage_of(report, "data-parallel").verdict, Verdict::FAILED);
}

TEST(VisionBringup, FormsThatAddInAnotherOrderAreJudgedAgainstTheReference) {
  FakeClassifier device;
  FakeClassifier near("classifier", 1.0F + 0x1p-20F);
  FakeClassifier far("classifier", -1.0F);
  const auto form = [](const char* name, FakeClassifier& model) {
    return ClassifierForm{.stage = "tensor-parallel",
                          .name = name,
                          .run = [&model](const HostTensor& x) { return model.forward(x, nullptr); },
                          .same_bits = false};
  };
  const Report report = bring_up(device, {}, {}, {form("tp 2", near), form("tp 4", far)});
  EXPECT_THAT(failing_rows(stage_of(report, "tensor-parallel")), testing::ElementsAre("tp 4"));
}

TEST(VisionBringup, RunsTheStagesAskedForAndKnowsTheirNames) {
  FakeClassifier device;
  const Report report = bring_up(device, {.stages = {"blocks"}});
  ASSERT_EQ(report.stages.size(), 1U);
  EXPECT_EQ(report.stages[0].name, "blocks");
  EXPECT_THAT([&] { bring_up(device, {.stages = {"decode"}}); },
              testing::ThrowsMessage<base::InvalidArgument>(testing::HasSubstr("must be one of baseline, operators")));
}

} // namespace
} // namespace tessera::bringup
