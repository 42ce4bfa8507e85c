// Image classifiers: classify, forward with pixel_values, bench.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/one_line_error.hpp"
#include "tests/cli/tiny_folder.hpp"
#include "tests/image/picture_files.hpp"
#include "tests/models/small_classifiers.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

/// A small ResNet under Hugging Face's names with labels and preprocessing, and a picture.
class Images : public ::testing::Test {
 protected:
  Images() {
    small_resnet({.hugging_face = true, .classes = 3}).write(folder_.path());
    folder_.write("config.json", R"({"architectures": ["ResNetForImageClassification"], "layer_type": "bottleneck",
        "embedding_size": 16, "depths": [2, 1], "hidden_sizes": [32, 48],
        "id2label": {"0": "cat", "1": "dog", "2": "red cow"}})");
    folder_.write("preprocessor_config.json", R"({"size": {"height": 40, "width": 32}, "resample": 3,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]})");
    picture_ = folder_.write("a.png", png_of(random_picture(50, 60).pixels, 50, 60)).string();
  }
  ProgramRun classify(std::vector<std::string> words) const {
    words.insert(words.begin(), {"classify", folder_.path().string()});
    return run_tessera(words);
  }
  std::string write_pixels(const std::vector<std::int64_t>& shape) const {
    std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 97) / 50.0F - 1.0F;
    const checkpoint::OutputTensor tensor{"pixel_values", checkpoint::StorageType::F32, shape,
                                          std::as_bytes(std::span(values))};
    const std::string file = (folder_.path() / "pixels").string();
    checkpoint::write_safetensors(file, {&tensor, 1});
    return file;
  }

  TemporaryFolder folder_;
  std::string picture_;
};

TEST_F(Images, ClassifyNamesTheClassesByTheirLabels) {
  const std::string jpeg = folder_.write("b.jpg", jpeg_of(random_picture(64, 64, 2).pixels, 64, 64)).string();
  const nlohmann::json report =
      report_of(classify({picture_, jpeg, picture_, "--top", "2", "--batch", "2", "--precision", "full", "--json"}));
  ASSERT_EQ(report.at("images").size(), 3U);
  EXPECT_EQ(report["images"][0]["classes"], report["images"][2]["classes"]); // whatever batch it was in
  for (const auto& row : report.at("images")) {
    ASSERT_EQ(row.at("classes").size(), 2U);
    EXPECT_GE(row["classes"][0]["probability"], row["classes"][1]["probability"]);
    const std::vector<std::string> labels{"cat", "dog", "red cow"};
    EXPECT_EQ(row["classes"][0]["label"], labels[row["classes"][0]["class"].get<std::size_t>()]);
  }
  const ProgramRun text = classify({picture_, "--precision", "full", "--top", "1"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, HasSubstr(report["images"][0]["classes"][0]["label"].get<std::string>()));
}

TEST_F(Images, ClassifyOnTheReferenceGivesTheSameClass) {
  const ProgramRun reference = classify({picture_, "--reference", "--json"});
  if (reference.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json device = report_of(classify({picture_, "--precision", "full", "--json"}));
  const nlohmann::json expected = report_of(reference);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& ours = device["images"][0]["classes"][i];
    const auto& theirs = expected["images"][0]["classes"][i];
    EXPECT_EQ(ours["class"], theirs["class"]);
    EXPECT_NEAR(ours["probability"].get<double>(), theirs["probability"].get<double>(), 1e-4);
  }
}

TEST_F(Images, ClassifyTakesWeightsWithoutAConfiguration) {
  const TemporaryFolder torchvision;
  small_resnet({}).write(torchvision.path());
  const ProgramRun run = run_tessera({"classify", (torchvision.path() / "model.safetensors").string(), picture_});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("class "));
}

TEST_F(Images, ForwardWritesLogitsAndFeatures) {
  const std::string out = (folder_.path() / "out").string();
  const ProgramRun run = run_tessera({"forward", folder_.path().string(), "--input", write_pixels({2, 3, 32, 48}),
                                      "--output", out, "--hidden-states", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.error;
  const auto result = checkpoint::SafeTensors::open(out);
  EXPECT_EQ(result.at("logits").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(result.at("layer1.1").shape, (std::vector<std::int64_t>{2, 8, 12, 32}));
  std::int64_t convolutions = 0;
  const nlohmann::json report = report_of(run);
  for (const auto& op : report.at("ops")) convolutions += op.at("name") == "conv2d" ? 1 : 0;
  EXPECT_EQ(convolutions, 1 + 3 * 3 + 2);
}

TEST_F(Images, BenchMeasuresImages) {
  const nlohmann::json report =
      report_of(run_tessera({"bench", folder_.path().string(), "--batch", "1,2", "--repeats", "2", "--json"}));
  ASSERT_EQ(report.at("images").size(), 2U);
  for (const auto& row : report.at("images")) {
    EXPECT_GT(row.at("images_per_s"), 0.0);
    EXPECT_GE(row.at("images_per_s"), row.at("min_images_per_s"));
    EXPECT_GT(row.at("gflop_per_s"), 0.0);
  }
}

TEST_F(Images, BringupTakesAClassifierThroughAllStages) {
  const std::string report = (folder_.path() / "report").string();
  const ProgramRun run = run_tessera(
      {"bringup", folder_.path().string(), "--precision", "bf16", "--board", "n300", "--report", report, "--json"});
  if (run.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.error << run.output;
  const nlohmann::json result = report_of(run);
  std::vector<std::string> names;
  for (const auto& stage : result.at("stages")) {
    names.push_back(stage.at("name"));
    // Chips cannot share a ResNet's layers.
    EXPECT_EQ(stage.at("verdict"), stage.at("name") == "tensor-parallel" ? "skipped" : "passed") << stage;
  }
  EXPECT_THAT(names, ::testing::ElementsAre("baseline", "operators", "blocks", "full-model", "top-1-agreement",
                                            "trace-and-queues", "data-parallel", "tensor-parallel"));
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "report" / "bringup.xml"));
}

/// A vision transformer as a configuration alone.
class Transformer : public ::testing::Test {
 protected:
  ProgramRun run(std::vector<std::string> words) const {
    words.insert(words.begin() + 1, config_);
    return run_tessera(words);
  }
  TemporaryFolder folder_;
  std::string config_ = folder_
                            .write("vit.json", R"({"architectures": ["ViTForImageClassification"], "hidden_size": 64,
      "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8})")
                            .string();
};

TEST_F(Transformer, BenchSharesItsLayersOverALine) {
  const nlohmann::json report = report_of(
      run({"bench", "--random-weights", "--board", "t3000", "--tp", "4", "--batch", "2", "--repeats", "1", "--json"}));
  EXPECT_EQ(report.at("tp"), 4);
  EXPECT_EQ(report.at("dp"), 2);
  EXPECT_TRUE(fails_saying(run({"bench", "--random-weights", "--board", "t3000", "--tp", "8"}), 2,
                           {"share the 4 attention heads must divide them"}));
  EXPECT_TRUE(fails_saying(run({"bench", "--random-weights", "--board", "t3000", "--tp", "3"}), 2,
                           {"--tp must be one of 1, 2, 4, 8"}));
  EXPECT_TRUE(
      fails_saying(run({"bench", "--random-weights", "--board", "t3000", "--tp", "2x4"}), 2, {"stand in a line"}));
  EXPECT_TRUE(fails_saying(run({"bench", "--random-weights", "--board", "t3000", "--tp", "4", "--dp", "3"}), 2,
                           {"1 to 2 copies of 4 chips have chips on t3000"}));
}

TEST_F(Images, BringupPreparesHeldOutPicturesAsTheCheckpointSays) {
  const auto write_held_out = [&](std::int64_t channels, std::int64_t labels) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(4 * 50 * 60 * channels));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 2654435761U >> 24);
    const std::vector<std::int64_t> classes(static_cast<std::size_t>(labels), 1);
    const std::vector<checkpoint::OutputTensor> tensors{
        {"images", checkpoint::StorageType::U8, {4, 50, 60, channels}, std::as_bytes(std::span(bytes))},
        {"labels", checkpoint::StorageType::I64, {labels}, std::as_bytes(std::span(classes))}};
    checkpoint::write_safetensors(folder_.path() / "heldout.safetensors", tensors);
  };
  const auto bring_up = [&] {
    return run_tessera({"bringup", folder_.path().string(), "--precision", "full", "--stages", "top-1-agreement",
                        "--report", (folder_.path() / "report").string(), "--json"});
  };
  write_held_out(3, 4);
  const ProgramRun run = bring_up();
  if (run.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json rows = report_of(run).at("stages").at(0).at("rows");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[1].at("module"), "reference on labels");
  EXPECT_EQ(rows[2].at("module"), "device on labels");
  write_held_out(4, 4);
  EXPECT_TRUE(fails_saying(bring_up(), 2, {"images must be U8 of shape [N, H, W, 3]"}));
  write_held_out(3, 5);
  EXPECT_TRUE(fails_saying(bring_up(), 2, {"a label for each or none"}));
}

TEST(VisionDemo, IsBroughtUpWithTheAccuracyItWasTrainedTo) {
  const TemporaryFolder folder;
  const ProgramRun run = run_tessera({"bringup", TESSERA_DEMO "/vision", "--report", folder.path().string(), "--json"});
  if (run.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.error << run.output;
  const nlohmann::json report = report_of(run);
  const auto stage = std::find_if(report.at("stages").begin(), report.at("stages").end(),
                                  [](const auto& entry) { return entry.at("name") == "top-1-agreement"; });
  ASSERT_NE(stage, report.at("stages").end());
  const nlohmann::json& device = stage->at("rows").back();
  EXPECT_EQ(device.at("module"), "device on labels");
  EXPECT_EQ(device.at("figures").at(0).at("name"), "top1");
  EXPECT_GE(device["figures"][0].at("value"), 0.93); // demo/README.md: 96.1 %; by chance 10 %
}

TEST(VisionDemo, NamesItsExamples) {
  const std::filesystem::path examples = TESSERA_DEMO "/vision/examples";
  for (const auto& entry : std::filesystem::directory_iterator(examples)) {
    const nlohmann::json report =
        report_of(run_tessera({"classify", TESSERA_DEMO "/vision", entry.path().string(), "--top", "1", "--json"}));
    EXPECT_EQ(report["images"][0]["classes"][0]["label"], entry.path().stem().string());
  }
}

TEST_F(Images, EveryMistakeIsOneLine) {
  const auto broken = folder_.write("broken.png", "\x89PNG but no more").string();
  EXPECT_TRUE(fails_saying(classify({broken}), 3, {"broken.png is a damaged PNG"}));
  const std::string config = (folder_.path() / "config.json").string();
  EXPECT_TRUE(fails_saying(classify({config}), 5, {"a PNG or JPEG is required"}));
  EXPECT_TRUE(fails_saying(classify({picture_, "--top", "0"}), 2, {"--top and --batch must be 1 or more"}));
  EXPECT_TRUE(fails_saying(classify({picture_, "--context", "8"}), 2, {"has no --context"}));
  EXPECT_TRUE(fails_saying(classify({picture_, "--dp", "2"}), 2, {"1 to 1 copies of one chip have chips on n150"}));
  EXPECT_TRUE(fails_saying(classify({picture_, "--board", "n300", "--tp", "2"}), 2,
                           {"chips cannot share the layers of a resnet"}));
  const std::string out = (folder_.path() / "out").string();
  EXPECT_TRUE(fails_saying(
      run_tessera({"forward", folder_.path().string(), "--input", write_pixels({1, 4, 32, 32}), "--output", out}), 2,
      {"pixel_values must be [N, 3, H, W]"}));
  folder_.write("preprocessor_config.json", R"({"size": {"width": 32}})");
  EXPECT_TRUE(fails_saying(classify({picture_}), 2, {"size.height"}));
  const TinyFolder language;
  EXPECT_TRUE(fails_saying(run_tessera({"classify", language.path(), picture_}), 5,
                           {"a classifier of images or texts is required"}));
}

} // namespace
} // namespace tessera::test
