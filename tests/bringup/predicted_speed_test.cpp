#include "tessera/bringup/predicted_speed.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tessera/perfmodel/calibration.hpp"

namespace tessera::bringup {
namespace {

namespace fs = std::filesystem;

checkpoint::Checkpoint config(const std::string& name) {
  return checkpoint::Checkpoint::open_config(TESSERA_SOURCE_DIR "/configs/" + name + ".json");
}

PredictedSpeed speed(const char* name, const BoardSpec& board, std::int64_t chips, std::int64_t copies,
                     const SpeedRequest& request) {
  models::Parallelism parallelism = models::parse_tensor_parallelism(board, std::to_string(chips));
  parallelism.dp = copies;
  return predict_speed(config(name), board, parallelism, request, perfmodel::constants()).value();
}

TEST(PredictedSpeed, FallsWithUsersPositionsAndWeights) {
  const BoardSpec& n150 = board("n150");
  const PredictedSpeed one = speed("llama-3.2-1b", n150, 1, 1, {});
  EXPECT_GT(one.tokens_per_s_user(), speed("llama-3.2-1b", n150, 1, 1, {.users = 32}).tokens_per_s_user());
  EXPECT_LT(one.tokens_per_s(), speed("llama-3.2-1b", n150, 1, 1, {.users = 32}).tokens_per_s());
  EXPECT_GT(one.tokens_per_s_user(),
            speed("llama-3.2-1b", n150, 1, 1, {.context = 32768, .prompt_length = 8192}).tokens_per_s_user());
  EXPECT_LT(one.ttft_ms(), speed("llama-3.2-1b", n150, 1, 1, {.prompt_length = 1024}).ttft_ms());
  EXPECT_LT(one.tokens_per_s_user(),
            speed("llama-3.2-1b", n150, 1, 1, {.precision = "performance"}).tokens_per_s_user());
}

TEST(PredictedSpeed, IsOfTheMiddleOfThe200TokensBehindThePrompt) {
  EXPECT_EQ(decode_position(128, 1024), 228);
  EXPECT_EQ(decode_position(1000, 1024), 1012);
  EXPECT_EQ(decode_position(1024, 1024), 1024);
}

TEST(PredictedSpeed, OfAnUnmeasuredArchitectureIsNone) {
  BoardSpec other = board("n150");
  other.arch.name = "other";
  EXPECT_FALSE(predict_speed(config("llama-3.2-1b"), other, {}, {}, perfmodel::constants()).has_value());
}

TEST(PublishedDecodeSpeeds, AreWithin6PercentOnN150And15OnT3K) {
  const fs::path folder = perfmodel::calibration_folder(TESSERA_SOURCE_DIR);
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no published tables in " << folder << "; set TESSERA_CALIBRATION";
  std::map<std::string, std::vector<double>> errors;
  for (const perfmodel::ModelRow& row : perfmodel::read_model_rows(folder)) {
    BoardSpec whole = board(row.board);
    whole.arch.dram_bytes_per_bank = std::int64_t{1} << 40; // the card takes 64K tokens in pieces, we in one
    const std::int64_t copies = std::max<std::int64_t>(1, row.copies);
    const PredictedSpeed predicted = speed(row.config.c_str(), whole, whole.chips() / copies, copies,
                                           {.precision = row.precision,
                                            .users = row.users,
                                            .context = row.long_context ? row.prompt_length + 1024 : 1024,
                                            .prompt_length = row.long_context ? row.prompt_length : 128});
    errors[row.board].push_back(std::abs(predicted.tokens_per_s_user() / row.tokens_per_s_user - 1));
  }
  EXPECT_LE(perfmodel::summarise(errors.at("n150")).median, 0.06);
  EXPECT_LE(perfmodel::summarise(errors.at("n150")).worst, 0.30);
  EXPECT_LE(perfmodel::summarise(errors.at("t3000")).median, 0.15);
  EXPECT_LE(perfmodel::summarise(errors.at("t3000")).worst, 0.30);
}

} // namespace
} // namespace tessera::bringup
