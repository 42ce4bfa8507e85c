// `tessera` as several processes, which mpirun starts on this machine.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

Words operator+(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Words mpirun(const Words& options = {}) {
  return Words{TESSERA_MPIEXEC, "--allow-run-as-root", "--oversubscribe"} + options;
}

ProgramRun run_ranks(int ranks, const Words& arguments, const Words& options = {}) {
  return run_program(mpirun(options) + Words{"-n", std::to_string(ranks), TESSERA_PROGRAM} + arguments);
}

const Words kTcp{"--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"};

class Ranks : public ::testing::Test {
 protected:
  /// What Open MPI's plug-ins still hold when they are unloaded is not ours to free, and has no name to suppress it by.
  static void SetUpTestSuite() { ::setenv("ASAN_OPTIONS", "detect_leaks=0", 0); }

  Words generate(const Words& options, const std::string& board = "t3000") const {
    return Words{"generate",     folder_.path(), "--prompt-ids", "1,2,3",          "--ids",
                 "--ignore-eos", "--board",      board,          "--weight-cache", "off"} +
           options;
  }

  TinyFolder folder_{{{"num_key_value_heads", 4}, {"max_position_embeddings", 16384}}};
};

TEST_F(Ranks, GenerateWhatOneRankDoes) {
  for (const Words& options : {Words{"--tp", "2x2"}, Words{"--tp", "2x1", "--no-trace"},
                               Words{"--tp", "2x2", "--dp", "2", "--command-queues", "2", "--precision", "full"},
                               Words{"--dp", "8"}, Words{"--tp", "2", "--temperature", "2", "--seed", "3"}}) {
    const Words arguments = generate(options + Words{"--max-tokens", "20"});
    const ProgramRun one = run_tessera(arguments);
    EXPECT_EQ(one.exit_code, 0) << one.error;
    const ProgramRun two = run_ranks(2, arguments);
    EXPECT_EQ(two.exit_code, 0) << two.error;
    EXPECT_EQ(two.output, one.output); // of rank 0 alone
    EXPECT_EQ(two.error_lines(), one.error_lines()) << two.error;
  }
}

TEST_F(Ranks, GenerateTheSameOverTcp) {
  const Words arguments = generate({"--tp", "2x2", "--max-tokens", "20"});
  const ProgramRun four = run_ranks(4, arguments, kTcp);
  EXPECT_EQ(four.exit_code, 0) << four.error;
  EXPECT_EQ(four.output, run_tessera(arguments).output);
}

TEST_F(Ranks, WriteTheLogitsOfOneRankForUsersOnAll) {
  const std::string ids =
      folder_.write_ids("ids.safetensors", {8, 3},
                        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24});
  const auto forward = [&](const std::string& output, const std::string& dp) {
    return Words{"forward", folder_.path(), "--input", ids,    "--output", folder_.file(output), "--mode",
                 "decode",  "--board",      "t3000",   "--dp", dp,         "--weight-cache",     "off"};
  };
  const auto logits = [&](const std::string& name) { return base::read_file(folder_.file(name)); };
  ASSERT_EQ(run_tessera(forward("one", "1")).exit_code, 0);
  for (const char* dp : {"4", "8"}) {
    const ProgramRun two = run_ranks(2, forward("two", dp));
    ASSERT_EQ(two.exit_code, 0) << two.error;
    EXPECT_EQ(logits("two"), logits("one")) << "dp " << dp;
  }
}

TEST_F(Ranks, ThatDifferAreRefusedWithWhatDiffers) {
  const auto run_different = [&](const Words& first, const Words& second) {
    return run_program(mpirun({"-n", "1", TESSERA_PROGRAM}) + first + Words{":", "-n", "1", TESSERA_PROGRAM} + second);
  };
  const auto refused = [&](const Words& second, const std::string& text) {
    const ProgramRun run = run_different(generate({"--tp", "2x2"}), second);
    EXPECT_NE(run.exit_code, 0);
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.error, HasSubstr("[mesh] all ranks must be started alike; rank 1 has " + text));
  };
  refused(generate({"--tp", "2x1"}), "--dp and --tp dp 1, tp 2x1 where rank 0 has dp 1, tp 2x2");
  refused(generate({"--tp", "2x2", "--precision", "full"}), "--precision full where rank 0 has accuracy");
  refused(generate({"--tp", "2x2", "--max-tokens", "9"}), "--max-tokens 9 where rank 0 has 128");
  TinyFolder other{{{"num_key_value_heads", 4}, {"max_position_embeddings", 16384}, {"rms_norm_eps", 0.01}}};
  Words arguments = generate({"--tp", "2x2"});
  arguments[1] = other.path();
  refused(arguments, "checkpoint ");
}

TEST_F(Ranks, AnErrorOfOneRankEndsAll) {
  Words broken = generate({"--tp", "2x2"});
  broken[1] = folder_.path() + "/absent";
  const ProgramRun run = run_program(mpirun({"-n", "1", TESSERA_PROGRAM}) + generate({"--tp", "2x2"}) +
                                     Words{":", "-n", "1", TESSERA_PROGRAM} + broken);
  EXPECT_NE(run.exit_code, 0);
  EXPECT_EQ(run.output, "");
  EXPECT_THAT(run.error, HasSubstr("rank 1: error: "));
}

TEST_F(Ranks, RefuseBoardsAndCommandsThatAreNotForThem) {
  const ProgramRun board = run_ranks(2, generate({}, "n150"));
  EXPECT_NE(board.exit_code, 0);
  EXPECT_THAT(board.error, HasSubstr("a number of ranks that divides the 1 chips of n150"));
  const ProgramRun command = run_ranks(2, {"devices"});
  EXPECT_NE(command.exit_code, 0);
  EXPECT_THAT(command.error, HasSubstr("start it without mpirun"));
}

/// The process that mpirun started as rank 1; 0 when there is none.
int process_of_rank_1(int mpirun_process) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto read = [&](const char* file) { // nothing when it has ended meanwhile
      std::ifstream stream(entry.path() / file);
      return std::string(std::istreambuf_iterator<char>(stream), {});
    };
    if (read("status").find("PPid:\t" + std::to_string(mpirun_process) + "\n") == std::string::npos) continue;
    if (read("environ").find(std::string("\0OMPI_COMM_WORLD_RANK=1\0", 24)) != std::string::npos)
      return std::stoi(name);
  }
  return 0;
}

TEST_F(Ranks, AKilledRankEndsTheOthersWithItsName) {
  for (const Words& over : {Words{}, kTcp}) {
    std::chrono::steady_clock::time_point killed;
    const Words words = mpirun(over) + Words{"-n", "2", TESSERA_PROGRAM} +
                        generate({"--tp", "2x2", "--context", "16384", "--max-tokens", "16000"});
    const ProgramRun run = run_program(words, "", [&](int mpirun_process, const std::filesystem::path& output) {
      const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      std::error_code error;
      while (!(std::filesystem::file_size(output, error) > 40 && !error) && std::chrono::steady_clock::now() < give_up)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const int victim = process_of_rank_1(mpirun_process);
      ASSERT_GT(victim, 0);
      killed = std::chrono::steady_clock::now();
      ::kill(victim, SIGKILL);
    });
    EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(10));
    EXPECT_NE(run.exit_code, 0);
    EXPECT_THAT(run.error, HasSubstr("error: [mesh] all 2 ranks must stay; rank 1 is lost: its process has ended"));
    EXPECT_GT(run.output.size(), 40U);
    EXPECT_THAT(run.output, Not(HasSubstr("\n")));
  }
}

} // namespace
} // namespace tessera::test
