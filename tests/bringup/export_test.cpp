#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/export/decoder_settings.hpp"
#include "tessera/bringup/export/handoff.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

const nn::PrecisionSubject kSubject{.family = "llama", .layers = 2, .parameters = 1000};

TEST(DecoderSettings, NameGroupsAndFormatsAsTtTransformersDoes) {
  const DecoderSettings settings = decoder_settings(nn::make_precision("performance", kSubject), 2);
  EXPECT_THAT(settings.left_out, IsEmpty());
  ASSERT_EQ(settings.json.at("decoders").size(), 2U);
  const nlohmann::json& layer = settings.json.at("decoders").at("1");
  EXPECT_EQ(
      layer.at("precision_cfg"),
      (nlohmann::json{{"FF1_FF3", "BFP4"}, {"FF2", "BFP8"}, {"WQKV", "BFP8"}, {"WO", "BFP8"}, {"KV_CACHE", "BFP8"}}));
  EXPECT_EQ(layer.at("fidelity_cfg"), (nlohmann::json{{"LI_FF1_FF3", "LOFI"},
                                                      {"LI_FF2", "HIFI2_FP16"},
                                                      {"LI_QKV_DECODE", "HIFI2"},
                                                      {"LI_QKV_PREFILL", "HIFI2"},
                                                      {"LI_O_DECODE", "HIFI2"},
                                                      {"LI_O_PREFILL", "HIFI2"},
                                                      {"SDPA_DECODE", "HIFI2"},
                                                      {"SDPA_PREFILL", "HIFI4"}}));
}

TEST(DecoderSettings, HaveEachLayersOwn) {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("p.json", R"({"layers": {"1": {"wo": "bf16", "li_o": "hifi4"}}, "activation": "bfp8"})").string();
  const nlohmann::json decoders = decoder_settings(nn::make_precision(file, kSubject), 2).json.at("decoders");
  EXPECT_EQ(decoders.at("0").at("precision_cfg").at("WO"), "BFP8");
  EXPECT_EQ(decoders.at("1").at("precision_cfg").at("WO"), "BF16");
  EXPECT_EQ(decoders.at("1").at("fidelity_cfg").at("LI_O_PREFILL"), "HIFI4");
  EXPECT_EQ(decoders.at("0").at("precision_cfg").at("ACTIVATION"), "BFP8");
}

TEST(DecoderSettings, SayWhatTheNamesCannot) {
  const TemporaryFolder folder;
  const std::string file = folder
                               .write("p.json", R"({"activation": "f32", "lm_head": "bf16", "li_ff2_prefill": "hifi4",
                                      "li_o": {"math_fidelity": "HiFi3", "fp32_dest_acc_en": false}})")
                               .string();
  const auto left_out = decoder_settings(nn::make_precision(file, kSubject), 2).left_out;
  EXPECT_EQ(left_out.size(), 5U); // li_o of both phases has no name
  EXPECT_THAT(left_out, ::testing::Contains(HasSubstr("activations: FLOAT32")));
  EXPECT_THAT(left_out, ::testing::Contains(HasSubstr("LI_FF2: one setting")));
  EXPECT_THAT(left_out, ::testing::Contains(HasSubstr("HIFI4 stands for it")));
  EXPECT_THAT(left_out, ::testing::Contains(HasSubstr("lm_head: BFLOAT16")));
}

TEST(DecoderSettings, RefuseFormatsWithoutAName) {
  const TemporaryFolder folder;
  const std::string file = folder.write("p.json", R"({"ff2": "bfp2"})").string();
  EXPECT_THROW(decoder_settings(nn::make_precision(file, kSubject), 2), base::Unsupported);
  EXPECT_THROW(decoder_settings(nn::make_precision("full", kSubject), 2), base::Unsupported);
}

class Export : public ::testing::Test {
 protected:
  Handoff handoff() {
    return {.checkpoint = "tiny",
            .model_name = "tiny",
            .precision = "accuracy",
            .settings = decoder_settings(nn::make_precision("accuracy", kSubject), 2),
            .reference = bench_.reference,
            .text = bench_.material.texts.front(),
            .modules = {"embedding", "layers.1.attention", "layers.2", "lm_head"},
            .text_source = "a text"};
  }
  std::filesystem::path folder() const { return folder_.path() / "out"; }

  TemporaryFolder folder_;
  Bench bench_;
};

TEST_F(Export, HoldsTheReferencesModules) {
  const nlohmann::json manifest = write_handoff(handoff(), folder());
  EXPECT_EQ(manifest.at("modules").size(), 4U);
  const ModuleCase& golden = *bench_.reference.module_case("layers.1.attention");
  const std::int64_t positions = golden.input.shape[1];
  const std::int64_t width = golden.input.shape[2];
  const auto file = checkpoint::SafeTensors::open(folder() / "modules/layers.1.attention.safetensors");
  const std::vector<float> prefill = checkpoint::to_float(file.at("prefill_output"));
  EXPECT_TRUE(std::equal(prefill.begin(), prefill.end(), golden.expected.data.begin()));
  EXPECT_EQ(file.at("prefill_output").shape, (std::vector<std::int64_t>{1, positions, width}));
  EXPECT_EQ(file.at("decode_input").shape, (std::vector<std::int64_t>{10, 4, 1, width}));
  const std::vector<float> decode = checkpoint::to_float(file.at("decode_input"));
  // Step 3 of user 2.
  for (std::int64_t i = 0; i < width; ++i) {
    EXPECT_EQ(decode[static_cast<std::size_t>((3 * 4 + 2) * width + i)],
              golden.input.data[static_cast<std::size_t>((2 * positions + 3) * width + i)]);
  }
  const auto ids = checkpoint::SafeTensors::open(folder() / "modules/embedding.safetensors").at("decode_input");
  EXPECT_EQ(ids.dtype, checkpoint::StorageType::I64);
  EXPECT_EQ(ids.shape, (std::vector<std::int64_t>{10, 4, 1}));
}

TEST_F(Export, SaysHowEachFileIsUsed) {
  write_handoff(handoff(), folder());
  const std::string readme = base::read_file(folder() / "README.md");
  for (const char* text : {"decoder_config.json", "--decoder_config_file", "tiny.refpt", "int64 [1, 40]",
                           "first 20 tokens", "`modules/layers.2.safetensors` | test_decoder.py", "test_lm_head.py"}) {
    EXPECT_THAT(readme, HasSubstr(text));
  }
  EXPECT_THAT(readme, ::testing::Not(HasSubstr("{")));
  EXPECT_EQ(nlohmann::json::parse(base::read_file(folder() / "decoder_config.json")).at("decoders").size(), 2U);
}

TEST_F(Export, TakesThePlaceOfAnEarlierOneOnly) {
  write_handoff(handoff(), folder());
  Handoff second = handoff();
  second.modules = {"lm_head"};
  write_handoff(second, folder());
  EXPECT_FALSE(std::filesystem::exists(folder() / "modules/embedding.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "modules/lm_head.safetensors"));

  std::filesystem::create_directories(folder_.path() / "photos");
  base::write_file_atomically(folder_.path() / "photos/one.png", "image");
  EXPECT_THROW(write_handoff(second, folder_.path() / "photos"), base::InvalidArgument);
  base::write_file_atomically(folder_.path() / "photos/export.json", "[]");
  EXPECT_THROW(check_export_folder(folder_.path() / "photos"), base::InvalidArgument);
  EXPECT_THROW(check_export_folder(folder_.path() / "photos/one.png"), base::InvalidArgument);
  EXPECT_THROW(check_export_folder(""), base::InvalidArgument);
}

TEST_F(Export, KeepsWhatTheUserPutBesideIt) {
  write_handoff(handoff(), folder());
  check_export_folder(folder());
  for (const char* name : {"my-results.txt", "logs/run.txt", "modules/mine.safetensors"}) {
    const auto file = folder() / name;
    base::write_file_atomically(file, "mine");
    try {
      write_handoff(handoff(), folder());
      ADD_FAILURE() << name << " is gone";
    } catch (const base::InvalidArgument& error) {
      EXPECT_THAT(error.what(), HasSubstr("holds other files"));
    }
    EXPECT_EQ(base::read_file(file), "mine");
    std::filesystem::remove(file);
    std::filesystem::remove(folder() / "logs");
  }
  check_export_folder(folder() / ".");
  // A manifest of another kind of values is none.
  base::write_file_atomically(folder() / "export.json", R"({"format": 1})");
  EXPECT_THROW(check_export_folder(folder()), base::InvalidArgument);
  EXPECT_THROW(check_export_folder("."), base::InvalidArgument);
  EXPECT_THROW(check_export_folder(std::filesystem::current_path()), base::InvalidArgument);
}

TEST_F(Export, LeavesNothingBehindWhenItIsStopped) {
  write_handoff(handoff(), folder());
  const std::string before = base::read_file(folder() / "export.json");
  struct Stop {};
  Handoff stopped = handoff();
  stopped.precision = "other";
  stopped.progress = [](std::int64_t done, std::int64_t total) {
    EXPECT_EQ(total, 6);
    if (done == 4) throw Stop();
  };
  EXPECT_THROW(write_handoff(stopped, folder()), Stop);
  EXPECT_EQ(base::read_file(folder() / "export.json"), before);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    names.insert(entry.path().filename().string());
  EXPECT_EQ(names, (std::set<std::string>{"out"}));
}

TEST_F(Export, NeedsAText) {
  Handoff short_one = handoff();
  short_one.text = {1, 2, 3};
  EXPECT_THROW(write_handoff(short_one, folder()), base::InvalidArgument);
}

} // namespace
} // namespace tessera::bringup
