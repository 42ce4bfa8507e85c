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
    return run(command(data, options) + " >" + log() + " 2>&1");
  }

  /// The same, interrupted by Ctrl-C's signal after the first evaluation.
  Outcome train_until_interrupted(const std::string& data, const std::string& options) const {
    return run(command(data, options) + " >" + log() + " 2>&1 & trainer=$!; until grep -qs ^step " + log() +
               " || ! kill -0 $trainer; do sleep 0.1; done; kill -INT $trainer; wait $trainer");
  }

 private:
  std::string log() const { return (folder_.path() / "log").string(); }

  std::string command(const std::string& data, const std::string& options) const {
    return TESSERA_TRAIN " --data " + (folder_.path() / data).string() + " --output " +
           (folder_.path() / "model").string() +
           " --hidden 32 --layers 1 --heads 4 --kv-heads 2 --mlp 48 --context 64 --vocab 300 --sequence 32 --batch 4"
           " --threads 1 --warmup 5 " +
           options;
  }

  Outcome run(const std::string& command) const {
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, base::read_file(log())};
  }

 protected:
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

TEST_F(Trainer, KeepsTrainedWeightsWhenInterrupted) {
  const Outcome run = train_until_interrupted("data", "--steps 1000000 --eval-every 50");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, testing::HasSubstr("interrupted"));
  const auto checkpoint = checkpoint::Checkpoint::open((folder_.path() / "model").string());
  const std::vector<float> norm = checkpoint::to_float(checkpoint.tensor("model.norm.weight"));
  EXPECT_THAT(norm, testing::Contains(testing::Ne(1.0F))); // norms start at 1
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
