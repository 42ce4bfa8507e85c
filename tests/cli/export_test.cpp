#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr int kUnsupported = 5;

TEST(ExportCommand, WritesTheHandOff) {
  const TinyFolder folder;
  const ProgramRun run =
      run_tessera({"export", folder.path(), "--report", folder.file("out/"), "--json", "--users", "2"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json manifest = report_of(run);
  EXPECT_EQ(manifest, nlohmann::json::parse(base::read_file(folder.file("out/export.json"))));
  EXPECT_EQ(manifest.at("reference_tokens").at("tokens"), 64); // the model's context
  EXPECT_EQ(nlohmann::json::parse(base::read_file(folder.file("out/decoder_config.json"))).at("decoders").size(), 2U);
  // Embedding, two layers of six modules, final norm, LM head.
  EXPECT_EQ(manifest.at("modules").size(), 15U);
  for (const auto& module : manifest.at("modules")) {
    const std::string file = module.at("file");
    const auto tensors = checkpoint::SafeTensors::open(folder.file("out/" + file));
    EXPECT_EQ(tensors.at("decode_output").shape.at(1), 2) << file;
    EXPECT_EQ(tensors.at("prefill_output").shape.at(1), 64) << file;
  }
  EXPECT_EQ(run_tessera({"export", folder.path(), "--report", folder.file("out")}).exit_code, 0);
}

TEST(ExportCommand, SaysWhatIsWrong) {
  const TinyFolder folder;
  EXPECT_THAT(run_tessera({"export", folder.path()}).error, HasSubstr("--report"));
  EXPECT_THAT(run_tessera({"export", folder.path(), "--report", folder.path()}).error, HasSubstr("holds other files"));
  EXPECT_THAT(run_tessera({"export", folder.path(), "--report", folder.file("out"), "--length", "2"}).error,
              HasSubstr("--length"));
  EXPECT_THAT(run_tessera({"export", TESSERA_DEMO "/vision", "--report", folder.file("out")}).error,
              HasSubstr("language models"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

TEST(ExportCommand, RefusesAReferenceThatIsNotFinite) {
  const TinyFolder folder = folder_with_nan();
  const ProgramRun run = run_tessera({"export", folder.path(), "--report", folder.file("out")});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.error, HasSubstr("finite logits of the reference are required"));
  EXPECT_THAT(run.error, HasSubstr("--stages baseline"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

} // namespace
} // namespace tessera::test
