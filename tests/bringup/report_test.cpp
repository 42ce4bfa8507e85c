#include "tessera/bringup/report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"

namespace tessera::bringup {
namespace {

Report example() {
  const double infinity = std::numeric_limits<double>::infinity();
  Report report{.key = "0123", .facts = {{"model", "llama <3 layers> & \"more\""}}};
  Row good{.module = "layers.0.mlp",
           .figures = {{"pcc", 0.99991, Bound{Bound::Kind::AT_LEAST, 0.999}}, {"max_abs_error", 0.0123, {}}}};
  Row bad{.module = "layers.1.mlp",
          .figures = {{"pcc", 0.5, Bound{Bound::Kind::AT_LEAST, 0.999}}, {"max_abs_error", infinity, {}}},
          .passed = false,
          .advice = "check <gate> & up",
          .notes = {"reference: \"a\x01\nb\""}};
  report.stages = {{.name = "decode-modules", .verdict = Verdict::FAILED, .rows = {good, bad}, .time_s = 1.25},
                   {.name = "full-decode", .verdict = Verdict::FAILED, .message = "[op] broke; at \"x\" < 3"},
                   {.name = "full-model", .verdict = Verdict::PASSED, .rows = {good}, .resumed = true},
                   {.name = "generation", .verdict = Verdict::SKIPPED, .message = "no prompt"},
                   {.name = "performance", .verdict = Verdict::NOT_RUN}};
  return report;
}

/// Checks that tags nest, attributes are quoted, and no bare '<', '&' or control character is left. Returns the number
/// of elements of each name.
std::map<std::string, int> well_formed_elements(const std::string& xml) {
  std::map<std::string, int> counts;
  std::vector<std::string> open;
  std::size_t at = xml.find("?>") + 2;
  EXPECT_TRUE(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
  while (at < xml.size()) {
    if (xml[at] == '&') {
      const std::string entity = xml.substr(at, xml.find(';', at) - at + 1);
      EXPECT_TRUE(entity == "&amp;" || entity == "&lt;" || entity == "&gt;" || entity == "&quot;" || entity == "&#10;")
          << entity;
    }
    EXPECT_TRUE(static_cast<unsigned char>(xml[at]) >= 0x20 || xml[at] == '\n');
    if (xml[at++] != '<') continue;
    const std::size_t end = xml.find('>', at);
    std::string tag = xml.substr(at, end - at);
    EXPECT_EQ(tag.find('<'), tag.npos);
    EXPECT_EQ(std::count(tag.begin(), tag.end(), '"') % 2, 0);
    at = end + 1;
    if (tag[0] == '/') {
      EXPECT_FALSE(open.empty());
      if (open.empty()) return counts;
      EXPECT_EQ(open.back(), tag.substr(1));
      open.pop_back();
      continue;
    }
    ++counts[tag.substr(0, tag.find_first_of(" /"))];
    if (!tag.ends_with('/')) open.push_back(tag.substr(0, tag.find(' ')));
  }
  EXPECT_TRUE(open.empty());
  return counts;
}

TEST(Junit, IsWellFormedWithACaseForEachRow) {
  const std::string xml = to_junit(example());
  auto counts = well_formed_elements(xml);
  EXPECT_EQ(counts["testsuites"], 1);
  EXPECT_EQ(counts["testsuite"], 5);
  EXPECT_EQ(counts["testcase"], 6); // three rows, and one for each stage that has none
  EXPECT_EQ(counts["failure"], 1);
  EXPECT_EQ(counts["error"], 1);
  EXPECT_EQ(counts["skipped"], 2);
  EXPECT_NE(xml.find("<testsuite name=\"decode-modules\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" "
                     "time=\"1.250\">"),
            std::string::npos);
  EXPECT_NE(xml.find("<failure message=\"pcc 0.5 must be at least 0.999\">"), std::string::npos);
}

TEST(Json, ReadsBackWhatItWrites) {
  const Report report = example();
  const nlohmann::json json = nlohmann::json::parse(to_json(report).dump());
  EXPECT_FALSE(json["passed"].get<bool>());
  EXPECT_EQ(json["stages"][0]["rows"][1]["figures"][1]["value"], "inf");
  const Report back = report_from_json(json);
  EXPECT_EQ(to_json(back), to_json(report));
  EXPECT_TRUE(std::isinf(back.stages[0].rows[1].figures[1].value));
  EXPECT_THROW(report_from_json(nlohmann::json::array()), base::InvalidArgument);
  EXPECT_THROW(report_from_json({{"key", 3}}), base::InvalidArgument);
}

TEST(Table, AlignsColumnsAndNamesTheFirstFailure) {
  const std::string table = to_table(example());
  EXPECT_NE(table.find("decode-modules failed, 1.2 s\n"
                       "  module             pcc  max abs  limits\n"
                       "  layers.0.mlp  0.999910   0.0123  ok  pcc >= 0.999\n"
                       "  layers.1.mlp  0.500000      inf  FAILED  pcc >= 0.999\n"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("      try: check <gate> & up\n"), std::string::npos);
  EXPECT_NE(table.find("full-model passed (earlier run)"), std::string::npos);
  EXPECT_TRUE(
      table.ends_with("NOT PASSED: 1 of 3 stages passed, 1 skipped, 1 not run (--resume goes on from here); the "
                      "first failure is decode-modules: layers.1.mlp pcc 0.5 must be at least 0.999\n"))
      << table;
}

TEST(Report, PassesOnlyWhenSomethingPassedAndNothingFailed) {
  const auto passed = [](std::vector<Verdict> verdicts) {
    Report report;
    for (const Verdict verdict : verdicts) report.stages.push_back({.name = "x", .verdict = verdict});
    return report.passed();
  };
  EXPECT_TRUE(passed({Verdict::PASSED, Verdict::SKIPPED}));
  EXPECT_FALSE(passed({Verdict::SKIPPED}));
  EXPECT_FALSE(passed({Verdict::PASSED, Verdict::FAILED}));
  EXPECT_FALSE(passed({Verdict::PASSED, Verdict::NOT_RUN}));
  EXPECT_FALSE(passed({}));
}

TEST(Figure, NotANumberKeepsNoBound) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE((Figure{"pcc", nan, Bound{Bound::Kind::AT_LEAST, 0.0}}.holds()));
  EXPECT_FALSE((Figure{"gap", nan, Bound{Bound::Kind::AT_MOST, 1.0}}.holds()));
}

} // namespace
} // namespace tessera::bringup
