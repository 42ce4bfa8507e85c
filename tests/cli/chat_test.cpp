#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTemplate =
    R"({"eos_token": "</s>", "chat_template": "{% for m in messages %}{{ m.role[0] }}{{ m.content }}|{% endfor %}a"})";

class Chat : public ::testing::Test {
 protected:
  Chat() : folder_({{"vocab_size", 263}, {"max_position_embeddings", 128}}) {
    folder_.write("tokenizer.json", small_tokenizer());
  }
  TinyFolder folder_;
};

TEST_F(Chat, AnswersEachLineInTheCheckpointsTemplate) {
  folder_.write("tokenizer_config.json", kTemplate);
  const ProgramRun run = run_tessera({"chat", folder_.path(), "--max-tokens", "4"}, "hi\n\nthere\n");
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_GE(std::count(run.output.begin(), run.output.end(), '\n'), 2);
  EXPECT_EQ(run.output, run_tessera({"chat", folder_.path(), "--max-tokens", "4"}, "hi\nthere\n").output);
}

TEST_F(Chat, NeedsATemplate) {
  const ProgramRun run = run_tessera({"chat", folder_.path()}, "hi\n");
  EXPECT_EQ(run.exit_code, 5);
  EXPECT_THAT(run.error, HasSubstr("must hold a chat template"));
}

TEST_F(Chat, NamesWhatATemplateNeedsAndIsNotBuilt) {
  folder_.write("chat_template.jinja", "{% include 'x' %}");
  const ProgramRun run = run_tessera({"chat", folder_.path()}, "hi\n");
  EXPECT_EQ(run.exit_code, 5);
  EXPECT_THAT(run.error, HasSubstr("line 1: the tag include is not built yet"));
}

TEST_F(Chat, GenerateAppliesTheTemplateUnlessToldOtherwise) {
  const auto prompt_ids = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"generate", folder_.path(), "--max-tokens", "1", "--ids", "--json"});
    return report_of(run_tessera(options)).at("prompt_ids").get<std::vector<int>>();
  };
  const auto plain = prompt_ids({"--prompt", "hi"});
  folder_.write("tokenizer_config.json", kTemplate);
  EXPECT_EQ(prompt_ids({"--prompt", "hi", "--raw"}), plain);
  // The template's text, without the tokenizer's own special tokens.
  auto templated = prompt_ids({"--prompt", "uhi|a", "--raw"});
  templated.erase(templated.begin());
  EXPECT_EQ(prompt_ids({"--prompt", "hi"}), templated);
}

} // namespace
} // namespace tessera::test
