// Classifiers of texts: classify, forward with input_ids, bench, bringup.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/cli/one_line_error.hpp"
#include "tests/cli/tiny_folder.hpp"
#include "tests/models/small_bert.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

/// A small BERT of three classes with labels, and its vocabulary.
class Texts : public ::testing::Test {
 protected:
  Texts() { write_model({{"id2label", {{"0", "bad"}, {"1", "so so"}, {"2", "good"}}}}); }

  void write_model(const nlohmann::json& config) const {
    const SmallBert bert{.vocabulary = 12, .config = config};
    small_bert(bert).write(folder_.path());
    folder_.write("config.json", config_of(bert).dump());
    folder_.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfilm\ncharm\n##ing\nmess\n.\nit\n");
  }
  ProgramRun classify(std::vector<std::string> words) const {
    words.insert(words.begin(), {"classify", folder_.path().string()});
    return run_tessera(words);
  }
  /// Rows of token ids, and more tensors of their shape.
  std::string write_inputs(const std::vector<std::int64_t>& shape,
                           const std::map<std::string, std::vector<std::int64_t>>& tensors) const {
    std::vector<checkpoint::OutputTensor> written;
    for (const auto& [name, values] : tensors)
      written.push_back({name, checkpoint::StorageType::I64, shape, std::as_bytes(std::span(values))});
    const std::string file = (folder_.path() / "inputs").string();
    checkpoint::write_safetensors(file, written);
    return file;
  }
  std::vector<float> logits_of(const std::string& inputs, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"forward", folder_.path().string(), "--input", inputs, "--output",
                                   output(),  "--precision",           "full"};
    words.insert(words.end(), more.begin(), more.end());
    const ProgramRun run = run_tessera(words);
    EXPECT_EQ(run.exit_code, 0) << run.error;
    return checkpoint::to_float(checkpoint::SafeTensors::open(output()).at("logits"));
  }
  std::string output() const { return (folder_.path() / "out").string(); }

  TemporaryFolder folder_;
};

TEST_F(Texts, ClassifyNamesTheClassesByTheirLabels) {
  const nlohmann::json report =
      report_of(classify({"--text", "A charming film.", "--text", "a mess", "--text", "A charming film.", "--batch",
                          "2", "--precision", "full", "--json"}));
  ASSERT_EQ(report.at("texts").size(), 3U);
  EXPECT_EQ(report["texts"][1]["text"], "a mess");
  for (std::size_t i = 0; i < 3; ++i) { // whatever batch and padding it had
    EXPECT_EQ(report["texts"][0]["classes"][i], report["texts"][2]["classes"][i]);
  }
  double sum = 0.0;
  for (const auto& row : report["texts"][1]["classes"]) {
    sum += row.at("probability").get<double>();
    const std::vector<std::string> labels{"bad", "so so", "good"};
    EXPECT_EQ(row["label"], labels[row["class"].get<std::size_t>()]);
  }
  EXPECT_NEAR(sum, 1.0, 1e-9);
  const ProgramRun text = classify({"--text", "A charming film.", "--precision", "full", "--top", "1"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, HasSubstr(report["texts"][0]["classes"][0]["label"].get<std::string>()));
}

TEST_F(Texts, ClassifyGivesTheProbabilitiesOfForwardsLogits) {
  const auto report = report_of(classify({"--text", "charming", "--text-pair", "it", "--precision", "full", "--json"}));
  EXPECT_EQ(report["texts"][0]["text_pair"], "it");
  // [CLS] charm ##ing [SEP] it [SEP]
  const std::vector<float> logits =
      logits_of(write_inputs({1, 6}, {{"input_ids", {2, 7, 8, 3, 11, 3}}, {"token_type_ids", {0, 0, 0, 0, 1, 1}}}));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit);
  for (const auto& row : report["texts"][0]["classes"])
    EXPECT_NEAR(row["probability"].get<double>(), std::exp(logits[row["class"].get<std::size_t>()]) / sum, 1e-6);
}

TEST_F(Texts, ClassifyOnTheReferenceGivesTheSameClass) {
  const ProgramRun reference = classify({"--text", "a film", "--reference", "--json"});
  if (reference.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json device = report_of(classify({"--text", "a film", "--precision", "full", "--json"}));
  const nlohmann::json expected = report_of(reference);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& ours = device["texts"][0]["classes"][i];
    const auto& theirs = expected["texts"][0]["classes"][i];
    EXPECT_EQ(ours["class"], theirs["class"]);
    EXPECT_NEAR(ours["probability"].get<double>(), theirs["probability"].get<double>(), 1e-5);
  }
}

TEST_F(Texts, ProblemsSayWhatTheNumbersAre) {
  write_model({{"problem_type", "multi_label_classification"}});
  const std::vector<float> logits = logits_of(write_inputs({1, 3}, {{"input_ids", {2, 6, 3}}}));
  const auto classes = [&] {
    return report_of(classify({"--text", "film", "--precision", "full", "--json"})).at("texts").at(0).at("classes");
  };
  const nlohmann::json labels = classes();
  for (const auto& row : labels) {
    const double logit = logits[row["class"].get<std::size_t>()];
    EXPECT_NEAR(row["probability"].get<double>(), 1.0 / (1.0 + std::exp(-logit)), 1e-6);
  }
  write_model({{"problem_type", "regression"}});
  const nlohmann::json numbers = classes();
  for (const auto& row : numbers)
    EXPECT_NEAR(row["value"].get<double>(), logits[row["class"].get<std::size_t>()], 1e-6);
}

TEST_F(Texts, ForwardReadsMasksAndTypesAndWritesHiddenStates) {
  const std::vector<std::int64_t> ids{2, 5, 6, 3, 2, 9, 3, 0};
  const std::vector<float> plain = logits_of(write_inputs({2, 4}, {{"input_ids", ids}}));
  const std::vector<float> same =
      logits_of(write_inputs({2, 4}, {{"input_ids", ids},
                                      {"attention_mask", std::vector<std::int64_t>(8, 1)},
                                      {"token_type_ids", std::vector<std::int64_t>(8, 0)}}));
  EXPECT_EQ(plain, same);
  const std::string masked = write_inputs({2, 4}, {{"input_ids", ids}, {"attention_mask", {1, 1, 1, 1, 1, 1, 1, 0}}});
  const std::vector<float> short_one = logits_of(masked, {"--hidden-states"});
  EXPECT_EQ(std::vector(plain.begin(), plain.begin() + 3), std::vector(short_one.begin(), short_one.begin() + 3));
  EXPECT_NE(plain[3], short_one[3]);
  const auto result = checkpoint::SafeTensors::open(output());
  for (const char* name : {"hidden_states.0", "hidden_states.1", "hidden_states.2"})
    EXPECT_EQ(result.at(name).shape, (std::vector<std::int64_t>{2, 4, 40})) << name;
  EXPECT_FALSE(result.contains("hidden_states.3"));
  EXPECT_EQ(result.at("pooler").shape, (std::vector<std::int64_t>{2, 40}));
  const ProgramRun reference =
      run_tessera({"forward", folder_.path().string(), "--input", masked, "--output", output(), "--mode", "reference"});
  if (reference.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  const auto expected = checkpoint::to_float(checkpoint::SafeTensors::open(output()).at("logits"));
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(expected[i], short_one[i], 1e-4);
}

TEST_F(Texts, BenchMeasuresSequencesAndTokens) {
  const nlohmann::json report = report_of(
      run_tessera({"bench", folder_.path().string(), "--batch", "1,2", "--prompt", "33", "--repeats", "2", "--json"}));
  ASSERT_EQ(report.at("texts").size(), 2U);
  for (const auto& row : report.at("texts")) {
    EXPECT_EQ(row.at("tokens"), 33);
    EXPECT_NEAR(row.at("tokens_per_s").get<double>(), 33 * row.at("sequences_per_s").get<double>(), 1e-6);
    EXPECT_GT(row.at("gflop_per_s"), 0.0);
  }
  const ProgramRun table =
      run_tessera({"bench", folder_.path().string(), "--batch", "1", "--repeats", "1", "--prompt", "9"});
  EXPECT_THAT(table.output, HasSubstr("sequences/s"));
  EXPECT_THAT(table.output, HasSubstr("tokens/s of 9 each"));
}

TEST_F(Texts, BringupTakesAClassifierThroughAllStages) {
  const std::string report = (folder_.path() / "report").string();
  const ProgramRun run = run_tessera(
      {"bringup", folder_.path().string(), "--precision", "bf16", "--board", "n300", "--report", report, "--json"});
  if (run.exit_code == 5) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.error << run.output;
  const nlohmann::json result = report_of(run);
  std::vector<std::string> names;
  std::set<std::string> modules;
  for (const auto& stage : result.at("stages")) {
    names.push_back(stage.at("name"));
    EXPECT_EQ(stage.at("verdict"), "passed") << stage;
    for (const auto& row : stage.at("rows")) modules.insert(row.at("module"));
  }
  EXPECT_THAT(names, ::testing::ElementsAre("baseline", "operators", "blocks", "full-model", "top-1-agreement",
                                            "trace-and-queues", "data-parallel", "tensor-parallel"));
  for (const char* module :
       {"layer.1.self_attention", "layer.1.attention", "layer.0.mlp", "layer.0", "pooler", "dp 2", "tp 2"})
    EXPECT_TRUE(modules.contains(module)) << module;
}

TEST_F(Texts, ModelsListsTheFamily) {
  EXPECT_THAT(run_tessera({"models"}).output, HasSubstr("BertForSequenceClassification"));
}

TEST_F(Texts, EveryMistakeIsOneLine) {
  const std::string folder = folder_.path().string();
  EXPECT_TRUE(fails_saying(classify({}), 2, {"takes --text"}));
  EXPECT_TRUE(fails_saying(classify({"a.png"}), 2, {"takes --text; received 0 of them and 1 pictures"}));
  EXPECT_TRUE(
      fails_saying(classify({"--text", "a", "--text", "b", "--text-pair", "c"}), 2, {"for each --text or for none"}));
  std::string long_text;
  for (int i = 0; i < 80; ++i) long_text += "a ";
  EXPECT_TRUE(fails_saying(classify({"--text", long_text}), 2, {"texts of at most 70 tokens", "received 82"}));
  EXPECT_TRUE(fails_saying(run_tessera({"generate", folder, "--prompt-ids", "1", "--ids"}), 5, {"is a classifier"}));
  const auto forward = [&](const std::string& inputs) {
    return run_tessera({"forward", folder, "--input", inputs, "--output", output()});
  };
  EXPECT_TRUE(fails_saying(forward(write_inputs({1, 2}, {{"input_ids", {2, 12}}})), 2,
                           {"input_ids must be whole numbers in 0..11"}));
  EXPECT_TRUE(fails_saying(forward(write_inputs({1, 2}, {{"input_ids", {2, 3}}, {"attention_mask", {1, 2}}})), 2,
                           {"attention_mask must be whole numbers in 0..1"}));
  EXPECT_TRUE(
      fails_saying(forward(write_inputs({2}, {{"input_ids", {2, 3}}})), 2, {"input_ids must be I64 of shape [N, S]"}));
  EXPECT_TRUE(fails_saying(forward(write_inputs({1, 1}, {{"ids", {2}}})), 3, {"input_ids"}));
  EXPECT_TRUE(fails_saying(run_tessera({"forward", folder, "--input", write_inputs({1, 1}, {{"input_ids", {2}}}),
                                        "--output", output(), "--mode", "decode"}),
                           2, {"a classifier has no --mode decode"}));
  std::filesystem::remove(folder_.path() / "vocab.txt");
  EXPECT_TRUE(fails_saying(classify({"--text", "a"}), 3, {"tokenizer.json, or BERT's vocab.txt"}));
}

} // namespace
} // namespace tessera::test
