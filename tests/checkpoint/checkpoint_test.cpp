#include "tessera/checkpoint/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

constexpr const char* kIndex = "model.safetensors.index.json";

/// A safetensors file of U8 tensors of one byte each, the byte being the name's first letter.
std::string byte_tensors(const std::vector<std::string>& names) {
  std::string header;
  std::string data;
  for (const std::string& name : names) {
    header += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})", header.empty() ? "" : ",",
                          name, data.size(), data.size() + 1);
    data += name.front();
  }
  return test::safetensors_bytes("{" + header + "}", data);
}

class CheckpointFolder : public ::testing::Test {
 protected:
  CheckpointFolder() { folder_.write("config.json", R"({"model_type": "llama", "dtype": "float32"})"); }

  Checkpoint open() const { return Checkpoint::open(folder_.path().string()); }

  /// Two shards: "b", "a" and "extra" in the first, "c" in the second.
  void write_shards(const std::string& weight_map) const {
    folder_.write("s1.safetensors", byte_tensors({"b", "a", "extra"}));
    folder_.write("s2.safetensors", byte_tensors({"c"}));
    folder_.write(kIndex, R"({"metadata": {"total_size": 3}, "weight_map": )" + weight_map + "}");
  }

  test::TemporaryFolder folder_;
};

TEST_F(CheckpointFolder, OpensASingleFile) {
  folder_.write("model.safetensors", test::small_safetensors());
  folder_.write("generation_config.json", R"({"eos_token_id": [1, 2]})");
  const Checkpoint checkpoint = open();
  EXPECT_TRUE(checkpoint.has_weights());
  EXPECT_EQ(checkpoint.folder(), folder_.path());
  EXPECT_EQ(checkpoint.config_path(), folder_.path() / "config.json");
  EXPECT_EQ(checkpoint.config().at("torch_dtype"), "float32");
  EXPECT_EQ(checkpoint.generation_config().at("eos_token_id").size(), 2u);
  EXPECT_THAT(checkpoint.tensor_names(), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(checkpoint.weight_bytes(), 24u);
  EXPECT_THAT(to_float(checkpoint.tensor("a")), ElementsAre(1.0f, -2.0f));
  EXPECT_THAT([&] { checkpoint.tensor("e"); }, ThrowsMessage<base::IoError>(HasSubstr(folder_.path().string())));
}

TEST_F(CheckpointFolder, GivesAnEmptyGenerationConfigWhenThereIsNone) {
  folder_.write("model.safetensors", test::small_safetensors());
  EXPECT_EQ(open().generation_config(), nlohmann::json::object());
}

TEST_F(CheckpointFolder, OpensShardsAndShowsWhatTheIndexLists) {
  write_shards(R"({"a": "s1.safetensors", "c": "s2.safetensors", "b": "s1.safetensors"})");
  const Checkpoint checkpoint = open();
  EXPECT_THAT(checkpoint.tensor_names(), ElementsAre("b", "a", "c"));
  EXPECT_THAT(to_int64(checkpoint.tensor("c")), ElementsAre('c'));
  EXPECT_FALSE(checkpoint.contains("extra"));
  EXPECT_EQ(checkpoint.weight_bytes(), 3u);
}

TEST_F(CheckpointFolder, CopiesShareTheWeights) {
  folder_.write("model.safetensors", test::small_safetensors());
  const Checkpoint copy = [&] { return Checkpoint(open()); }();
  EXPECT_THAT(to_float(copy.tensor("a")), ElementsAre(1.0f, -2.0f));
}

TEST_F(CheckpointFolder, NamesAllAbsentShardsInOneLine) {
  write_shards(R"({"a": "s1.safetensors", "c": "x3.safetensors", "b": "x2.safetensors"})");
  EXPECT_THAT([&] { open(); },
              ThrowsMessage<base::IoError>(AllOf(HasSubstr("2 are absent: x2.safetensors, x3.safetensors"),
                                                 HasSubstr("all 3 files"), Not(HasSubstr("\n")))));
}

TEST_F(CheckpointFolder, NamesATensorThatItsShardLacks) {
  write_shards(R"({"a": "s1.safetensors", "c": "s1.safetensors"})");
  EXPECT_THAT([&] { open(); },
              ThrowsMessage<base::IoError>(AllOf(HasSubstr("s1.safetensors"), HasSubstr("must hold tensor c"))));
}

TEST_F(CheckpointFolder, RefusesAnIndexThatLeavesTheFolder) {
  const test::TemporaryFolder other;
  const std::string outside = other.write("s.safetensors", byte_tensors({"a"})).string();
  for (const std::string& file : {outside, "../" + other.path().filename().string() + "/s.safetensors",
                                  std::string("sub/s.safetensors"), std::string(".."), std::string("."), std::string(),
                                  std::string("..\\\\s"), std::string("s1.safetensors\\u0000")}) {
    write_shards(R"({"a": ")" + file + "\"}");
    EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("files of its own folder"))) << file;
  }
}

TEST_F(CheckpointFolder, RefusesDamagedIndices) {
  for (const char* index :
       {"", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})",
        R"({"weight_map": {"a": "s1.safetensors", "a": "s2.safetensors"}})"}) {
    folder_.write(kIndex, index);
    EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr(kIndex))) << index;
  }
}

TEST_F(CheckpointFolder, NamesADamagedShard) {
  write_shards(R"({"a": "s1.safetensors", "c": "s2.safetensors"})");
  folder_.write("s2.safetensors", "x");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("s2.safetensors")));
}

TEST_F(CheckpointFolder, RefusesOtherKindsOfWeights) {
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("model.safetensors or")));
  folder_.write("model.gguf", "");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::Unsupported>(HasSubstr("GGUF")));
  folder_.write("pytorch_model.bin", "");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::Unsupported>(HasSubstr("convert")));
}

TEST_F(CheckpointFolder, RefusesDamagedConfigs) {
  folder_.write("model.safetensors", test::small_safetensors());
  folder_.write("config.json", "{\"a\": ");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("config.json must be valid JSON")));
  folder_.write("config.json", "[]");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("must hold a JSON object")));
  folder_.write("config.json", R"({"dtype": "float32", "torch_dtype": "float16"})");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(folder_.path().string())));
  folder_.write("config.json", "{}");
  folder_.write("generation_config.json", "[]");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("generation_config.json")));
  fs::remove(folder_.path() / "config.json");
  EXPECT_THAT([&] { open(); }, ThrowsMessage<base::IoError>(HasSubstr("config.json is required")));
}

TEST_F(CheckpointFolder, OpensAConfigAlone) {
  const fs::path lone = folder_.write("llama-8b.json", R"({"hidden_size": 4096})");
  const Checkpoint checkpoint = Checkpoint::open_config(lone.string());
  EXPECT_FALSE(checkpoint.has_weights());
  EXPECT_EQ(checkpoint.config().at("hidden_size"), 4096);
  EXPECT_EQ(checkpoint.weight_bytes(), 0u);
  EXPECT_THAT([&] { checkpoint.tensor("a"); }, ThrowsMessage<base::IoError>(HasSubstr("without weights")));

  EXPECT_EQ(Checkpoint::open_config(folder_.path().string()).config().at("model_type"), "llama");
  EXPECT_THROW(Checkpoint::open_config((folder_.path() / "absent.json").string()), base::IoError);
}

} // namespace
} // namespace tessera::checkpoint
