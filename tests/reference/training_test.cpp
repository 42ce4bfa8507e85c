// The trainer as a program: a few steps on a small corpus give a checkpoint that the reference opens.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tessera/base/file.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera {
namespace {

struct Outcome {
  int exit_code = 0;
  std::string output;
};

class Trainer : public testing::Test {
 protected:
  void SetUp() override {
    std::string text = "A book\n\n";
    for (const char* chapter : {"CHAPTER I. Counting", "CHAPTER II. More counting"}) {
      text += std::string(chapter) + "\n\n";
      for (int line = 0; line < 60; ++line) text += "one two three four five, six seven eight nine ten.\n";
    }
    folder_.write("data/book.txt", text + "CHAPTER III. The end\n\none two three four five, six seven.\n");
  }

  Outcome train(const std::string& data, const std::string& options) const {
    const std::string log = (folder_.path() / "log").string();
    const std::string command = std::string(TESSERA_TRAIN) + " --data " + (folder_.path() / data).string() +
                                " --output " + (folder_.path() / "model").string() +
                                " --hidden 32 --layers 1 --heads 4 --kv-heads 2 --mlp 48 --context 64 --vocab 300"
                                " --sequence 32 --batch 4 --threads 1 --warmup 5 " +
                                options + " >" + log + " 2>&1";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, base::read_file(log)};
  }

  test::TemporaryFolder folder_;
};

TEST_F(Trainer, LearnsAndWritesACheckpointThatTheReferenceOpens) {
  const Outcome run = train("data", "--steps 80 --eval-every 20 --lr 0.01 --dropout 0 --prompt 'one two'");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const std::string label = "\ntrain: loss ";
  const std::size_t loss = run.output.find(label);
  ASSERT_NE(loss, std::string::npos) << run.output;
  EXPECT_LT(std::stod(run.output.substr(loss + label.size())), 1.0); // a vocabulary of 300 starts at ln 300 = 5.7
  EXPECT_THAT(run.output, testing::HasSubstr("one two three four five"));

  const auto checkpoint = checkpoint::Checkpoint::open((folder_.path() / "model").string());
  const auto model = reference::open(checkpoint);
  EXPECT_EQ(model->info().hidden_size, 32);
  EXPECT_EQ(model->prefill(0, std::vector<std::int32_t>{1, 2, 3}, nn::LogitsRows::LAST, nullptr).shape[1],
            checkpoint.config().at("vocab_size"));
  EXPECT_EQ(checkpoint.tensor("model.norm.weight").dtype, checkpoint::StorageType::BF16);
}

TEST_F(Trainer, HoldsTheLastChapterOut) {
  ASSERT_EQ(train("data", "--steps 1").exit_code, 0);
  EXPECT_EQ(base::read_file(folder_.path() / "model" / "heldout.txt"),
            "CHAPTER III. The end\n\none two three four five, six seven.\n");
}

TEST_F(Trainer, EndsWithOneLineWhenTheBooksAreAbsent) {
  folder_.write("empty/notes.md", "no book");
  for (const char* data : {"nowhere", "empty"}) {
    const Outcome run = train(data, "--steps 1");
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_THAT(run.output, testing::MatchesRegex("tessera-train: \\[train\\] --data must .*\n"));
  }
}

} // namespace
} // namespace tessera
