#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tessera/base/file.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class GoldenFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("TESSERA_GOLDEN");
    golden_ = folder != nullptr ? fs::path(folder) : fs::path(TESSERA_SOURCE_DIR) / "../shared/golden";
    if (!fs::is_directory(golden_)) GTEST_SKIP() << "no golden data in " << golden_ << "; set TESSERA_GOLDEN";
  }

  fs::path golden_;
};

TEST_F(GoldenFiles, EverySafetensorsFileOpensAndReads) {
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(golden_)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++files;
    const auto file = SafeTensors::open(entry.path());
    EXPECT_THAT(file.names(), Not(IsEmpty())) << entry.path();
    for (const TensorView& tensor : file.tensors()) {
      EXPECT_EQ(storage_bytes(tensor.shape, tensor.dtype), tensor.data.size()) << tensor.name;
      EXPECT_EQ(to_float(tensor).size(), tensor.num_elements()) << tensor.name;
    }
  }
  EXPECT_GT(files, 0u);
}

TEST_F(GoldenFiles, EveryModelFolderOpensAndItsWeightsAreFinite) {
  std::size_t models = 0;
  for (const auto& entry : fs::directory_iterator(golden_)) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    ++models;
    const Checkpoint checkpoint = Checkpoint::open(entry.path().string());
    EXPECT_TRUE(checkpoint.config().contains("torch_dtype")) << entry.path();
    for (const std::string& name : checkpoint.tensor_names()) {
      for (const float value : to_float(checkpoint.tensor(name))) ASSERT_TRUE(std::isfinite(value)) << name;
    }
    EXPECT_LT(checkpoint.weight_bytes(), fs::file_size(entry.path() / "model.safetensors"));
  }
  EXPECT_GT(models, 0u);
}

TEST_F(GoldenFiles, BothSpellingsOfTheLlama3ConfigAreOne) {
  if (!fs::exists(golden_ / "llama3"))
    GTEST_SKIP() << golden_ / "llama3"
                 << " is absent";
  nlohmann::json older = Checkpoint::open_config((golden_ / "llama3/config.json").string()).config();
  nlohmann::json newer = Checkpoint::open_config((golden_ / "llama3/config_v5.json").string()).config();
  EXPECT_NE(older, newer); // transformers_version, and nothing else
  older.erase("transformers_version");
  newer.erase("transformers_version");
  EXPECT_EQ(older, newer);
}

TEST_F(GoldenFiles, KnownTensorsHaveTheirPublishedShapes) {
  if (!fs::exists(golden_ / "llama3"))
    GTEST_SKIP() << golden_ / "llama3"
                 << " is absent";
  const Checkpoint checkpoint = Checkpoint::open((golden_ / "llama3").string());
  EXPECT_EQ(checkpoint.tensor("model.embed_tokens.weight").dtype, StorageType::BF16);
  EXPECT_THAT(checkpoint.tensor("model.embed_tokens.weight").shape, ElementsAre(1024, 128));
  EXPECT_THAT(checkpoint.tensor("model.layers.2.mlp.down_proj.weight").shape, ElementsAre(128, 352));
  const auto golden = SafeTensors::open(golden_ / "llama3/golden.safetensors");
  EXPECT_THAT(golden.at("input_ids").shape, ElementsAre(2, 48));
  for (const std::int64_t id : to_int64(golden.at("input_ids"))) EXPECT_TRUE(id >= 0 && id < 1024) << id;
}

TEST_F(GoldenFiles, TheWriterKeepsEveryTensor) {
  const auto original = SafeTensors::open(golden_ / "llama3/golden.safetensors");
  std::vector<OutputTensor> tensors;
  for (const TensorView& view : original.tensors()) tensors.push_back({view.name, view.dtype, view.shape, view.data});
  const fs::path path = fs::temp_directory_path() / "tessera-golden-copy.safetensors";
  write_safetensors(path, tensors, original.metadata());
  const auto copy = SafeTensors::open(path);
  fs::remove(path);
  EXPECT_EQ(copy.names(), original.names());
  EXPECT_EQ(copy.metadata(), original.metadata());
  for (const TensorView& view : original.tensors()) {
    EXPECT_EQ(copy.at(view.name).shape, view.shape);
    EXPECT_TRUE(std::ranges::equal(copy.at(view.name).data, view.data)) << view.name;
  }
}

} // namespace
} // namespace tessera::checkpoint
