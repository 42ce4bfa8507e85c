// The stages on real models: every golden of a built family, against its file and against the libtorch reference.

#include <gtest/gtest.h>

#include "tessera/bringup/bringup.hpp"
#include "tessera/bringup/file_reference.hpp"
#include "tessera/bringup/live_reference.hpp"
#include "tessera/models/load.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/bringup/faulty_model.hpp"
#include "tests/models/golden_models.hpp"

namespace tessera::bringup {
namespace {

using checkpoint::Checkpoint;
using testing::Fault;
using testing::FaultyModel;

std::unique_ptr<nn::CausalLM> open_device(const Checkpoint& checkpoint, const std::string& precision) {
  return models::load(runtime::MeshDevice::open({.board = board("n150")}), checkpoint,
                      {.precision = precision, .context = 256, .max_users = 4});
}

Report run_against(Reference& reference, const Material& material, nn::CausalLM& device, const Checkpoint& checkpoint,
                   const Options& options) {
  Progress silent;
  return run({.device = device,
              .reference = reference,
              .material = material,
              .identity = "golden",
              .checkpoint = &checkpoint,
              .expected_tensors = models::expected_tensors(checkpoint)},
             options, silent);
}

class GoldenBringup : public ::testing::TestWithParam<std::filesystem::path> {
 protected:
  void SetUp() override {
    if (!test::family_is_built(GetParam())) GTEST_SKIP() << "its family is not built: " << GetParam().filename();
    checkpoint_ = Checkpoint::open(GetParam().string());
  }
  std::filesystem::path file() const { return GetParam() / "golden.safetensors"; }

  Checkpoint checkpoint_;
};

TEST_P(GoldenBringup, PassesAgainstTheFileInEachPrecision) {
  FileReference reference(file());
  for (const char* precision : {"full", "bf16", "bfp8", "accuracy"}) {
    const auto device = open_device(checkpoint_, precision);
    const Report report = run_against(reference, reference.material(), *device, checkpoint_, {.precision = precision});
    EXPECT_TRUE(report.passed()) << to_table(report);
  }
}

TEST_P(GoldenBringup, PassesAgainstTheLiveReference) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const Material material = FileReference(file()).material();
  LiveReference live([&] { return reference::open(checkpoint_, {.context = 256}); }, ResultCache({}, ""),
                     material.texts);
  const auto device = open_device(checkpoint_, "bfp8");
  const Report report = run_against(live, material, *device, checkpoint_, {.all_layers = true});
  EXPECT_TRUE(report.passed()) << to_table(report);
  for (const StageResult& stage : report.stages) {
    const bool needs_chips = stage.name == "data-parallel" || stage.name == "tensor-parallel";
    EXPECT_EQ(stage.verdict, needs_chips ? Verdict::SKIPPED : Verdict::PASSED) << stage.message;
  }
}

TEST_P(GoldenBringup, NamesTheLayerOfAFaultOnARealModel) {
  // The device's own faults are planted in stages_test.cpp; here one stands for them on a real model.
  FileReference reference(file());
  const auto device = open_device(checkpoint_, "accuracy");
  FaultyModel faulty(*device, {Fault::Path::DECODE, "layers.1"});
  const Report report = run_against(reference, reference.material(), faulty, checkpoint_, {.stages = {"full-decode"}});
  EXPECT_FALSE(report.passed());
  EXPECT_TRUE(report.stages[0].rows.at(1).passed);  // layers.0
  EXPECT_FALSE(report.stages[0].rows.at(2).passed); // layers.1
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenBringup, ::testing::ValuesIn(test::golden_language_models("logits")),
                         [](const auto& model) { return test::golden_name(model.param); });

} // namespace
} // namespace tessera::bringup
