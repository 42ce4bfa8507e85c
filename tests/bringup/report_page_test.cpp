#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/compare.hpp"
#include "tessera/bringup/details.hpp"
#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/bringup/report_files.hpp"
#include "tessera/bringup/report_page/html.hpp"
#include "tessera/bringup/report_page/page.hpp"
#include "tessera/tokenizer/tokenizer.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using testing::Fault;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

const std::vector<std::string> kStages{"decode-modules", "decoder-layer",   "full-decode",
                                       "full-model",     "teacher-forcing", "generation"};

/// A run of the tiny models with its page; `fault` breaks the device.
void run_in(const std::filesystem::path& folder, Fault fault = {}) {
  Bench bench(std::move(fault));
  bench.run({.stages = kStages, .report_folder = folder});
  write_report_page(folder);
}

std::string page_of(const std::filesystem::path& folder) {
  return base::read_file(folder / "report.html");
}

nlohmann::json json_of(const std::filesystem::path& file) {
  return nlohmann::json::parse(base::read_file(file));
}

TEST(ReportPage, HasEverySectionOfALanguageModel) {
  const TemporaryFolder folder;
  run_in(folder.path());
  const std::string page = page_of(folder.path());
  for (const char* id :
       {"stages", "modules", "tokens", "generations", "memory", "speed", "timeline", "sharding", "ops"})
    EXPECT_THAT(page, HasSubstr(fmt::format("<section id=\"{}\">", id)));
  for (const std::string& stage : kStages) EXPECT_THAT(page, HasSubstr("id=\"stage-" + stage + "\""));
  EXPECT_THAT(page, HasSubstr("<h1>"));
  EXPECT_LT(page.find("class=\"verdict passed\""), page.find("<section id=\"stages\">"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
}

TEST(ReportPage, IsTheSameWhenMadeAgain) {
  const TemporaryFolder folder;
  run_in(folder.path());
  const std::string page = page_of(folder.path());
  const std::string table = base::read_file(folder.path() / "tables/modules.csv");
  std::filesystem::remove(folder.path() / "report.html");
  std::filesystem::remove_all(folder.path() / "tables");
  write_report_page(folder.path());
  EXPECT_EQ(page_of(folder.path()), page);
  EXPECT_EQ(base::read_file(folder.path() / "tables/modules.csv"), table);
}

TEST(ReportPage, SaysWhatFailedFirstAndWhatToTry) {
  const TemporaryFolder folder;
  run_in(folder.path(), {Fault::Path::DECODE_MODULE, "layers.0.mlp"});
  const std::string page = page_of(folder.path());
  const std::string head = page.substr(0, page.find("<section id=\"stages\">"));
  EXPECT_THAT(head, HasSubstr("Not passed"));
  EXPECT_THAT(head, HasSubstr("<code>layers.0.mlp</code>"));
  EXPECT_THAT(head, HasSubstr("<b>Try</b>"));
}

TEST(ReportPage, TokensAgreeWithTheStagesOwnFigures) {
  const TemporaryFolder folder;
  Bench bench;
  const Report report = bench.run({.stages = {"teacher-forcing"}, .report_folder = folder.path()});
  double kl = 0.0;
  double hits = 0.0;
  double judged = 0.0;
  for (const TokenSequence& sequence : tokens_from_json(json_of(folder.path() / "tokens.json"))) {
    for (const TokenDetail& token : sequence.tokens) {
      if (!token.judged) continue;
      ++judged;
      kl += token.kl_divergence;
      hits += token.top1_hit;
      EXPECT_EQ(token.top1_hit, token.expected == token.actual);
    }
  }
  const std::vector<Figure>& figures = report.stages[0].rows[0].figures;
  const auto value = [&](const std::string& name) { return std::ranges::find(figures, name, &Figure::name)->value; };
  EXPECT_EQ(judged, value("positions"));
  EXPECT_NEAR(kl / judged, value("kl_divergence"), 1e-9);
  EXPECT_NEAR(hits / judged, value("top1"), 1e-12);
}

TEST(ReportPage, EscapesWhatComesFromFiles) {
  EXPECT_EQ(report_page::escaped("<b a=\"1\">&\n"), "&lt;b a=&quot;1&quot;&gt;&amp;\n");
  EXPECT_EQ(report_page::escaped("\xC3\xA9\xC3|\x01|\xED\xA0\x80"),
            "\xC3\xA9\xEF\xBF\xBD|\xEF\xBF\xBD|"
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  const TemporaryFolder folder;
  const std::string script = "\"><script>alert(1)</script>";
  const Row row{.module = script,
                .figures = {{script, 1.0, Bound{Bound::Kind::AT_MOST, 0.5}}},
                .passed = false,
                .advice = script,
                .notes = {script}};
  Report report{.key = "k", .facts = {{"model", script}, {script, script}}};
  report.stages = {{.name = "a-stage", .verdict = Verdict::FAILED, .message = script, .rows = {row}},
                   {.name = "performance", .verdict = Verdict::PASSED, .rows = {row}}};
  write_report(report, folder.path());
  write_report_page(folder.path());
  EXPECT_THAT(page_of(folder.path()), HasSubstr("tables/stage-a-stage.csv"));
  EXPECT_THAT(page_of(folder.path()), Not(HasSubstr("<script")));
  EXPECT_THAT(report_page::links({.name = script, .caption = script, .columns = {}, .rows = {}}),
              Not(HasSubstr("<script")));
}

TEST(ReportPage, WritesNothingOutsideItsFolder) {
  for (const char* name : {"/../../../escaped", "..", "a/b", "a b", "<i>", "A", "\"", ""}) {
    const TemporaryFolder folder;
    const std::filesystem::path run = folder.path() / "run";
    Report report{.key = "k"};
    report.stages = {{.name = name, .verdict = Verdict::PASSED, .rows = {{.module = "m", .figures = {}}}}};
    std::filesystem::create_directory(run);
    write_report(report, run);
    try {
      write_report_page(run);
      ADD_FAILURE() << "taken: " << name;
    } catch (const base::IoError& error) {
      EXPECT_THAT(error.what(), HasSubstr("a stage's name must consist of"));
    }
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "escaped.csv"));
    EXPECT_FALSE(std::filesystem::exists(run / "tables"));
  }
}

TEST(ReportPage, SaysWhichFilesAreMissingDamagedOrOfAnotherRun) {
  const TemporaryFolder folder;
  run_in(folder.path());
  EXPECT_THAT(page_of(folder.path()), HasSubstr("memory.json is missing from the folder."));
  folder.write("tokens.json", "{\"key\": ");
  folder.write("generations.json", "{\"key\": \"0\", \"prompts\": []}");
  auto memory = nlohmann::json{{"key", json_of(folder.path() / "bringup.json").at("key")}, {"ops", 3}};
  folder.write("memory.json", memory.dump());
  write_report_page(folder.path());
  EXPECT_THAT(page_of(folder.path()), HasSubstr("tokens.json is damaged"));
  EXPECT_THAT(page_of(folder.path()), HasSubstr("generations.json belongs to another run."));
  EXPECT_THAT(page_of(folder.path()), HasSubstr("[report] memory.json must be one that bringup wrote"));
  folder.write("bringup.json", "[]");
  EXPECT_THROW(write_report_page(folder.path()), base::IoError);
  std::filesystem::remove(folder.path() / "bringup.json");
  EXPECT_THROW(write_report_page(folder.path()), base::IoError);
}

TEST(ReportPage, TablesQuoteTheirFieldsForCsv) {
  using report_page::Cell;
  const report_page::Table table{
      .name = "t",
      .caption = "t",
      .columns = {{"a", "A"}, {"b", "B", true}},
      .rows = {{Cell::text("x, \"y\""), Cell::number(0.5)}, {Cell::text("z"), {nullptr, ""}}}};
  EXPECT_EQ(to_csv(table), "a,b\r\n\"x, \"\"y\"\"\",0.5\r\nz,\r\n");
  EXPECT_EQ(to_json(table), nlohmann::json::parse(R"([{"a": "x, \"y\"", "b": 0.5}, {"a": "z", "b": null}])"));
}

TEST(TokenTexts, AddUpToTheTextOfAll) {
  // A decoder that, as SentencePiece's, loses the first space, and needs two ids for one character.
  const auto decode = [](std::span<const std::int32_t> ids) {
    std::string text;
    for (const std::int32_t id : ids) text += id == 1 ? " a" : id == 2 ? "\xC3" : id == 3 ? "\xA9" : "b";
    return text.starts_with(' ') ? text.substr(1) : text;
  };
  const Ids ids{1, 1, 2, 3, 4, 1};
  std::string all;
  for (const std::string& text : token_texts(decode, ids)) all += text;
  EXPECT_EQ(all, decode(ids));
}

TEST(TokenTexts, GiveACharacterToItsLastToken) {
  const auto tokenizer = tokenizer::Tokenizer::load(std::filesystem::path(TESSERA_SOURCE_DIR) / "demo");
  const auto decode = [&](std::span<const std::int32_t> ids) { return tokenizer.decode(ids); };
  const std::string text = "a café, 😀😀 naïve — 日本";
  const Ids ids = tokenizer.encode(text, false);
  ASSERT_GT(ids.size(), 20U) << "of characters that the vocabulary has no token for";
  const std::vector<std::string> texts = token_texts(decode, ids);
  std::string all;
  std::size_t parts = 0;
  for (const std::string& one : texts) {
    EXPECT_THAT(one, Not(HasSubstr("\xEF\xBF\xBD")));
    parts += one.empty();
    all += one;
  }
  EXPECT_EQ(all, text);
  EXPECT_GE(parts, 8U) << "bytes of characters that the next token goes on with";

  // What is no character stays none, wherever it stands.
  Ids broken = ids;
  std::erase_if(broken, [&](std::int32_t id) { return decode(std::span(&id, 1)).starts_with("\xEF\xBF\xBD"); });
  broken.insert(broken.begin() + 2, 40, ids[std::ranges::find(texts, "") - texts.begin()]);
  all.clear();
  for (const std::string& one : token_texts(decode, broken)) all += one;
  EXPECT_EQ(all, tokenizer.decode(broken));
}

TEST(ReportPage, ShowsIdsOnlyWithoutATokenizer) {
  const TemporaryFolder folder;
  Report report{.key = "k"};
  const auto page = [&](bool texts) {
    TokenSequence sequence{.name = "text 0", .tokens = {}};
    for (const std::int32_t id : {7159, 7152}) sequence.tokens.push_back({.id = id, .judged = true});
    GenerationDetail prompt{.number = 0, .prompt = {1}, .reference = {7159, 7152}, .device = {7159, 7152}};
    if (texts) {
      sequence.tokens[0].text = "";
      sequence.tokens[1].text = "é";
      prompt.reference_texts = prompt.device_texts = {"", "é"};
    }
    write_report(report, folder.path());
    write_details({.tokens = std::vector{sequence}, .generations = std::vector{prompt}}, report.key, folder.path());
    write_report_page(folder.path());
    return page_of(folder.path());
  };
  EXPECT_THAT(page(false), HasSubstr("<p>7159 7152 </p>"));
  EXPECT_THAT(page(false), HasSubstr("<p class=\"tokens\">7159 <i "));
  EXPECT_THAT(page(true), HasSubstr("<p>é</p>"));
  EXPECT_THAT(page(true), HasSubstr("<p class=\"tokens\"><i "));
}

TEST(ReportPage, SaysInItsPlaceThatAFileIsDamaged) {
  using nlohmann::json;
  json history{{"held_bytes", json::object()}, {"peak_bytes", 8}, {"peak_op_number", 0}, {"capacity_bytes", 64}};
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind)
    history["used_bytes_by_kind"][std::string(runtime::to_string(static_cast<runtime::MemoryKind>(kind)))] =
        json::array({8});
  json memory = json::parse(R"({"key": "k", "ops": [["add", ""]], "phases": [{"name": "prefill", "first_op": 0}]})");
  memory["dram"] = memory["l1"] = history;
  const json op = json::parse(R"({"name": "add", "scope": "", "begin_us": 1.0, "time_us": 1.0})");
  json timeline = json::parse(R"({"key": "k", "steps": [{"name": "decode", "ops": []}]})");
  timeline["steps"][0]["ops"] = json::array({op, op});
  const auto page = [&](const json& of_memory, const json& of_timeline) {
    const TemporaryFolder folder;
    write_report({.key = "k"}, folder.path());
    folder.write("memory.json", of_memory.dump());
    folder.write("timeline.json", of_timeline.dump());
    write_report_page(folder.path());
    return page_of(folder.path());
  };
  EXPECT_THAT(page(memory, timeline), Not(HasSubstr("The file is damaged")));
  for (const json& value : {json(1000000), json(1), json(-1)}) {
    json damaged = memory;
    damaged["dram"]["peak_op_number"] = value;
    EXPECT_THAT(page(damaged, timeline), HasSubstr("memory.json must be one that bringup wrote")) << value;
  }
  json damaged = timeline;
  json& ops = damaged["steps"][0]["ops"];
  ops[0]["begin_us"] = ops[0]["time_us"] = 1e308; // each is finite, their sum is not
  EXPECT_THAT(page(memory, damaged), HasSubstr("timeline.json must be one that bringup wrote"));
  ops[0] = ops[1] = op;
  ops[0]["time_us"] = ops[1]["time_us"] = 1e308;
  EXPECT_THAT(page(memory, damaged), HasSubstr("timeline.json must be one that bringup wrote"));
}

TEST(Compare, OfEqualRunsReportsNothing) {
  const TemporaryFolder first;
  const TemporaryFolder second;
  run_in(first.path());
  run_in(second.path());
  const Comparison same = compare_runs(first.path(), second.path(), {});
  EXPECT_TRUE(same.same_key);
  EXPECT_TRUE(same.nothing_changed()) << to_table(same);
  EXPECT_FALSE(same.regressed());
  EXPECT_THAT(to_table(same), ::testing::EndsWith("Nothing changed.\n"));
}

TEST(Compare, NamesAPlantedRegression) {
  const TemporaryFolder right;
  const TemporaryFolder wrong;
  run_in(right.path());
  run_in(wrong.path(), {Fault::Path::DECODE_MODULE, "layers.0.mlp"});
  const Comparison worse = compare_runs(right.path(), wrong.path(), {});
  EXPECT_TRUE(worse.regressed());
  EXPECT_THAT(to_table(worse), HasSubstr("decode-modules: layers.0.mlp pcc"));
  EXPECT_THAT(to_table(worse), HasSubstr("WORSE: "));
  // The other way round the same is news, but none to fail for.
  const Comparison better = compare_runs(wrong.path(), right.path(), {});
  EXPECT_FALSE(better.regressed());
  EXPECT_FALSE(better.nothing_changed());
}

TEST(Compare, HoldsFiguresToTheirTolerancesAndTimesToNone) {
  const TemporaryFolder first;
  const TemporaryFolder second;
  const auto write = [](const TemporaryFolder& folder, double kl, double speed) {
    Report report{.key = "k"};
    Row row{.module = kMeasuredHere, .figures = {{"tokens_per_s_user", speed, {}}, {"ttft_ms", 1e3 / speed, {}}}};
    report.stages = {{.name = "performance", .verdict = Verdict::PASSED, .rows = {row}}};
    row = {.module = "text", .figures = {{"kl_divergence", kl, {}}, {"pcc", 1.0 - kl, {}}}};
    report.stages.push_back({.name = "teacher-forcing", .verdict = Verdict::PASSED, .rows = {row}});
    write_report(report, folder.path());
  };
  write(first, 0.01, 100.0);
  write(second, 0.011, 50.0);
  const Comparison comparison = compare_runs(first.path(), second.path(), {});
  EXPECT_TRUE(comparison.regressed());
  EXPECT_THAT(to_table(comparison), HasSubstr("Times, which do not count\n  performance: measured on this host"));
  EXPECT_FALSE(compare_runs(first.path(), second.path(), {.pcc = 0.01, .relative = 0.2}).regressed());
  EXPECT_TRUE(compare_runs(first.path(), second.path(), {.pcc = 0.01, .relative = 0.2, .time = 0.1}).regressed());
}

/// Runs as their files say, before and after something was done to them.
class CompareFiles : public ::testing::Test {
 protected:
  CompareFiles() {
    const Row text{.module = "text",
                   .figures = {{"kl_divergence", 0.01, {}}, {"top1", 0.99, {}}, {"positions", 256, {}}}};
    const Row prompt{.module = "prompt 0", .figures = {{"equal_tokens", 2, {}}, {"logit_gap", 0.1, {}}}};
    const Row host{.module = kMeasuredHere, .figures = {{"tokens_per_s_user", 20, {}}, {"ttft_ms", 9, {}}}};
    const Row card{.module = "predicted for the card",
                   .figures = {{"tokens_per_s_user", 276.9, {}}, {"ttft_ms", 3, {}}}};
    before.stages = {{.name = "teacher-forcing", .verdict = Verdict::PASSED, .rows = {text}},
                     {.name = "generation", .verdict = Verdict::PASSED, .rows = {prompt}},
                     {.name = "performance", .verdict = Verdict::PASSED, .rows = {host, card}}};
    after = before;
    texts_before = {{.number = 0, .prompt = {1}, .reference = {2, 3}, .device = {2, 3}},
                    {.number = 1, .prompt = {4}, .reference = {5, 6}, .device = {5, 7}}};
    texts_after = texts_before;
  }

  /// Compares, and says as a table what came out.
  std::string compare(const CompareOptions& options = {}) {
    const auto write = [](const TemporaryFolder& folder, const Report& report, auto texts) {
      write_report(report, folder.path());
      write_details({.tokens = {}, .generations = std::move(texts)}, report.key, folder.path());
    };
    write(first, before, texts_before);
    write(second, after, texts_after);
    if (!damage.empty()) second.write("generations.json", damage);
    comparison = compare_runs(first.path(), second.path(), options);
    return to_table(comparison);
  }

  Report before{.key = "k"};
  Report after;
  std::optional<std::vector<GenerationDetail>> texts_before;
  std::optional<std::vector<GenerationDetail>> texts_after;
  std::string damage;
  TemporaryFolder first;
  TemporaryFolder second;
  Comparison comparison;
};

TEST_F(CompareFiles, WithoutAChangeAreEqual) {
  EXPECT_EQ(compare(), "Nothing changed.\n");
}

TEST_F(CompareFiles, AFigureThatIsGoneIsWorse) {
  after.stages[0].rows[0].figures.erase(after.stages[0].rows[0].figures.begin(),
                                        after.stages[0].rows[0].figures.begin() + 2);
  const std::string table = compare();
  EXPECT_THAT(table, ::testing::ContainsRegex("teacher-forcing: text kl_divergence +0.01 -> absent"));
  EXPECT_THAT(table, ::testing::ContainsRegex("teacher-forcing: text top1 +0.99 -> absent"));
  EXPECT_THAT(table, HasSubstr("WORSE: 2 regressions"));
}

TEST_F(CompareFiles, AFigureThatIsNewIsToldAndWorseWhereItBreaksItsLimit) {
  std::vector<Figure>& figures = after.stages[0].rows[0].figures;
  figures.push_back({"top5", 0.5, {}});
  EXPECT_THAT(compare(), ::testing::ContainsRegex("text top5 +absent -> 0.5"));
  EXPECT_FALSE(comparison.regressed());
  figures.back().bound = Bound{Bound::Kind::AT_LEAST, 0.9};
  compare();
  EXPECT_TRUE(comparison.regressed());
}

TEST_F(CompareFiles, TextsThatPartNoMoreAreNotWorse) {
  after.stages[1].rows[0].figures.pop_back(); // logit_gap
  EXPECT_THAT(compare(), HasSubstr("logit_gap"));
  EXPECT_FALSE(comparison.regressed());
}

TEST_F(CompareFiles, FewerPositionsAreWorse) {
  after.stages[0].rows[0].figures[2].value = 2;
  EXPECT_THAT(compare(), HasSubstr("WORSE: 1 regression"));
}

TEST_F(CompareFiles, RowsThatAreGoneAreWorseThoughTheStagePassed) {
  after.stages[0].rows.clear();
  EXPECT_THAT(compare(), HasSubstr("teacher-forcing: text"));
  EXPECT_TRUE(comparison.regressed());
}

TEST_F(CompareFiles, ThePredictionForTheCardIsNoTimeOfThisHost) {
  after.stages[2].rows[0].figures[0].value = 10;
  after.stages[2].rows[1].figures[0].value = 138.5;
  EXPECT_THAT(compare(), ::testing::ContainsRegex("Worse\n  performance: predicted for the card tokens_per_s_user"));
  EXPECT_THAT(to_table(comparison), HasSubstr("WORSE: 1 regression"));
  after.stages[2].rows[1].figures[0].value = 400;
  compare();
  EXPECT_FALSE(comparison.regressed());
  EXPECT_FALSE(comparison.nothing_changed());
}

TEST_F(CompareFiles, GeneratedTextsThatAreMissingOrDamagedAreWorse) {
  texts_after.reset();
  EXPECT_THAT(compare(), HasSubstr("usable -> generations.json is missing from the folder."));
  EXPECT_TRUE(comparison.regressed());
  for (const char* const text : {"{\"key\"", R"({"key": "k", "prompts": 3})", R"({"key": "other", "prompts": []})"}) {
    damage = text;
    EXPECT_THAT(compare(), HasSubstr("generation: generations.json")) << text;
    EXPECT_TRUE(comparison.regressed()) << text;
  }
}

TEST_F(CompareFiles, GeneratedTextsThatOnlyTheSecondRunHasAreNews) {
  texts_before.reset();
  EXPECT_THAT(compare(), HasSubstr("-> usable"));
  EXPECT_FALSE(comparison.regressed());
}

TEST_F(CompareFiles, APromptThatIsGoneIsWorse) {
  texts_after->pop_back();
  EXPECT_THAT(compare(), ::testing::ContainsRegex("generation: prompt 1 +2 tokens -> absent"));
  EXPECT_TRUE(comparison.regressed());
  texts_after = {texts_before->begin(), texts_before->end()};
  texts_after->back().prompt = {9};
  EXPECT_THAT(compare(), HasSubstr("its prompt -> another prompt"));
}

TEST_F(CompareFiles, AStageThatDidNotPassIsNotMissed) {
  for (const Verdict verdict : {Verdict::SKIPPED, Verdict::FAILED, Verdict::NOT_RUN, Verdict::PASSED}) {
    before.stages[1].verdict = verdict;
    before.stages[1].rows.clear();
    after.stages.erase(after.stages.begin() + 1);
    texts_after.reset();
    EXPECT_THAT(compare(), HasSubstr("-> absent"));
    EXPECT_EQ(comparison.regressed(), verdict == Verdict::PASSED) << to_table(comparison);
    after.stages.insert(after.stages.begin() + 1, before.stages[1]);
  }
}

TEST_F(CompareFiles, TolerancesMustBeFinite) {
  for (const double bad : {std::nan(""), HUGE_VAL, -1.0}) {
    EXPECT_THROW(compare({.pcc = bad}), base::InvalidArgument);
    EXPECT_THROW(compare({.relative = bad}), base::InvalidArgument);
    EXPECT_THROW(compare({.share = bad}), base::InvalidArgument);
    EXPECT_THROW(compare({.time = bad}), base::InvalidArgument);
  }
}

TEST(Compare, SaysFirstThatTheRunsAreOfAnotherKind) {
  const TemporaryFolder first;
  const TemporaryFolder second;
  Report report{.key = "a", .facts = {{"device", "n150, precision accuracy"}}};
  report.stages = {{.name = "baseline", .verdict = Verdict::PASSED}};
  write_report(report, first.path());
  report.key = "b";
  report.facts = {{"device", "n150, precision performance"}};
  write_report(report, second.path());
  const Comparison comparison = compare_runs(first.path(), second.path(), {});
  EXPECT_FALSE(comparison.same_key);
  EXPECT_THAT(to_table(comparison), ::testing::StartsWith("The runs are not of the same"));
  EXPECT_THAT(to_table(comparison), HasSubstr("n150, precision performance"));
  EXPECT_EQ(to_json(comparison).at("facts").at(0).at("figure"), "device");
}

} // namespace
} // namespace tessera::bringup
