#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

std::vector<int> ids_in(const std::string& text) {
  std::istringstream stream(text);
  std::vector<int> ids;
  for (int id = 0; stream >> id;) ids.push_back(id);
  return ids;
}

class Generate : public ::testing::Test {
 protected:
  ProgramRun generate(const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"generate", folder_.path()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_tessera(arguments);
  }

  TinyFolder folder_;
};

TEST_F(Generate, StreamsIdsAloneToStandardOutput) {
  const ProgramRun run = generate({"--prompt-ids", "1,2,3", "--ids", "--max-tokens", "8"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_EQ(ids_in(run.output).size(), 8U);
  EXPECT_THAT(run.output, ::testing::MatchesRegex("[0-9]+( [0-9]+)*\n"));
  EXPECT_THAT(run.error, HasSubstr("tokens/s"));
  EXPECT_THAT(run.error, HasSubstr("time to first token"));
  EXPECT_THAT(run.error, HasSubstr("measured on this host"));
}

TEST_F(Generate, IsDeterministic) {
  const std::vector<std::string> greedy{"--prompt-ids", "7", "--ids"};
  EXPECT_EQ(generate(greedy).output, generate(greedy).output);
  const auto draw = [&](const char* seed) {
    return generate({"--prompt-ids", "7", "--ids", "--temperature", "2", "--top-k", "40", "--top-p", "0.99", "--seed",
                     seed, "--max-tokens", "20"})
        .output;
  };
  EXPECT_EQ(draw("5"), draw("5"));
  EXPECT_NE(draw("5"), draw("6"));
}

TEST_F(Generate, ReadsIdsFromAFile) {
  const std::string file = folder_.write("ids.txt", "1 2,\n3\n");
  EXPECT_EQ(generate({"--prompt-ids", "@" + file, "--ids"}).output,
            generate({"--prompt-ids", "1,2,3", "--ids"}).output);
}

TEST_F(Generate, WritesTheTextOfTheSameIds) {
  // The vocabulary's 50 ids are the special tokens and the first bytes.
  folder_.write("tokenizer.json", small_tokenizer());
  const auto report = report_of(generate({"--prompt-ids", "1,2,3", "--json", "--ignore-eos"}));
  const ProgramRun text = generate({"--prompt-ids", "1,2,3", "--ignore-eos"});
  EXPECT_EQ(text.output, report.at("text").get<std::string>() + "\n");
  const ProgramRun ids = generate({"--prompt-ids", "1,2,3", "--ids", "--ignore-eos"});
  EXPECT_EQ(ids_in(ids.output), report.at("ids").get<std::vector<int>>());
}

TEST_F(Generate, StopsAtTheStopId) {
  const std::vector<int> ids = ids_in(generate({"--prompt-ids", "1,2,3", "--ids"}).output);
  const auto stop = std::find_if(ids.begin() + 1, ids.end(), [&](int id) { return id != ids.front(); });
  ASSERT_NE(stop, ids.end());
  const std::vector<int> until(ids.begin(), stop);
  folder_.write("generation_config.json", nlohmann::json{{"eos_token_id", *stop}}.dump());
  EXPECT_EQ(ids_in(generate({"--prompt-ids", "1,2,3", "--ids"}).output), until);
  EXPECT_EQ(ids_in(generate({"--prompt-ids", "1,2,3", "--ids", "--ignore-eos"}).output), ids);
}

TEST_F(Generate, SaysWhenTheContextEnds) {
  const ProgramRun run = generate({"--prompt-ids", "1,2,3", "--ids", "--context", "5"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(ids_in(run.output).size(), 3U); // at positions 3 and 4, and one that needs no place
  EXPECT_THAT(run.error, HasSubstr("--context"));
}

/// Waits until a file holds `bytes` or more, at most a minute.
void wait_for_bytes(const std::filesystem::path& file, std::uintmax_t bytes) {
  std::error_code error;
  for (int i = 0; i < 6000; ++i) {
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (!error && size >= bytes) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

TEST(GenerateInterrupted, EndsWithFiguresAndWhatItHas) {
  const TinyFolder folder(nlohmann::json{{"max_position_embeddings", 1000000}});
  const ProgramRun run = run_tessera(
      {"generate", folder.path(), "--prompt-ids", "1,2,3", "--ids", "--max-tokens", "1000000", "--context", "1000000"},
      "", [](int process, const std::filesystem::path& output) {
        wait_for_bytes(output, 40);
        ::kill(process, SIGINT);
      });
  EXPECT_EQ(run.exit_code, 7) << run.error;
  EXPECT_GT(ids_in(run.output).size(), 10U);
  EXPECT_EQ(run.output.back(), '\n');
  EXPECT_THAT(run.error, HasSubstr("tokens/s"));
  EXPECT_THAT(run.error, HasSubstr("interrupted"));
}

} // namespace
} // namespace tessera::test
