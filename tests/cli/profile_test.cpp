// --profile on the commands that run a model, and the command that reads what it leaves.

#include "tessera/profile/profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <thread>

#include "tessera/base/file.hpp"
#include "tessera/profile/trace_events.hpp"
#include "tests/cli/one_line_error.hpp"
#include "tests/cli/tiny_folder.hpp"
#include "tests/profile/slices.hpp"

namespace tessera::test {
namespace {

using profile::SliceKind;
using profile::TrackKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kUnsupported = 5;

/// How often each op ran, by name; only those that began in `stage`.
std::map<std::string, int> counts_in(const profile::Profile& profile, std::string_view stage) {
  std::map<std::string, int> counts;
  const profile::Profile part = profile::within_stage(profile, stage);
  for (const profile::Track& track : part.tracks) {
    if (track.kind != TrackKind::QUEUE) continue;
    for (const profile::Slice& slice : track.slices) ++counts[std::string(part.name_of(slice))];
  }
  return counts;
}

std::vector<std::string> stages_of(const profile::Profile& profile) {
  std::vector<std::string> names;
  for (const profile::Slice& slice : profile::track_named(profile, "stages").slices) {
    names.emplace_back(profile.name_of(slice));
  }
  return names;
}

class ProfileCommand : public ::testing::Test {
 protected:
  std::string file() const { return folder_.file("profile.json"); }

  ProgramRun generate(std::vector<std::string> options, const std::string& file) {
    const std::vector<std::string> all{"generate", folder_.path(), "--prompt-ids", "1,2,3", "--ids", "--ignore-eos"};
    options.insert(options.begin(), all.begin(), all.end());
    if (!file.empty()) options.insert(options.end(), {"--profile", file});
    return run_tessera(options);
  }

  /// Ops of one step, by name, as `forward` lists them.
  std::map<std::string, int> listed(const std::string& mode, const std::vector<std::int64_t>& ids) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const auto report =
        report_of(run_tessera({"forward", folder_.path(), "--mode", mode, "--input",
                               folder_.write_ids("ids", {1, length}, ids), "--output", folder_.file("out"), "--json"}));
    std::map<std::string, int> counts;
    for (const auto& op : report.at("ops")) ++counts[op.at("name").get<std::string>()];
    return counts;
  }

  TinyFolder folder_;
};

TEST_F(ProfileCommand, OfAGenerationHoldsTheOpsThatTheListingGives) {
  constexpr int kTokens = 6;
  const ProgramRun run = generate({"--max-tokens", std::to_string(kTokens)}, file());
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("the profile lies in " + file()));
  EXPECT_EQ(run.output, generate({"--max-tokens", std::to_string(kTokens)}, "").output);

  const profile::Profile profile = profile::read_trace_events(file());
  EXPECT_EQ(profile.dropped, 0);
  EXPECT_EQ(profile.origin.model, folder_.path());
  EXPECT_EQ(profile.origin.precision, "accuracy");
  EXPECT_THAT(profile.origin.command, HasSubstr(" generate " + folder_.path() + " --prompt-ids 1,2,3"));
  EXPECT_GT(profile.origin.threads, 0);
  EXPECT_GT(profile.origin.read_bytes_per_s, 0.0);
  EXPECT_GT(profile.origin.flop_per_s, 0.0);
  for (const profile::Track& track : profile.tracks) EXPECT_TRUE(profile::is_in_order(track));
  EXPECT_THAT(stages_of(profile), ElementsAre("prefill", "decode"));

  const auto prefill = listed("prefill", {1, 2, 3});
  const auto step = listed("decode", {1});
  auto counted = counts_in(profile, "prefill");
  for (const auto& [name, count] : counts_in(profile, "decode")) counted[name] += count;
  for (const char* op : {"linear", "rms_norm", "mul"}) {
    EXPECT_EQ(counted[op], prefill.at(op) + (kTokens - 1) * step.at(op)) << op;
  }
  const char* const attention = "paged_scaled_dot_product_attention_decode";
  EXPECT_EQ(counted[attention], (kTokens - 1) * step.at(attention));
}

TEST_F(ProfileCommand, PrintsATableOrJson) {
  ASSERT_EQ(generate({"--max-tokens", "6"}, file()).exit_code, 0);
  const ProgramRun table = run_tessera({"profile", file()});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_EQ(table.error, "");
  for (const char* part : {"measured on this host", "bound by", "linear", "queue 0: ", "gaps", "stages: prefill",
                           "threads at work", "advice:"}) {
    EXPECT_THAT(table.output, HasSubstr(part));
  }
  const auto report = report_of(run_tessera({"profile", file(), "--json"}));
  EXPECT_EQ(report.at("origin").at("model"), folder_.path());
  EXPECT_EQ(report.at("stages").size(), 2U);
  EXPECT_FALSE(report.at("ops").empty());
}

TEST_F(ProfileCommand, TakesAStageOrATime) {
  ASSERT_EQ(generate({"--max-tokens", "6"}, file()).exit_code, 0);
  const auto decode = report_of(run_tessera({"profile", file(), "--stage", "decode", "--json"}));
  const auto all = report_of(run_tessera({"profile", file(), "--json"}));
  EXPECT_LT(decode.at("ops").size(), all.at("ops").size());
  EXPECT_EQ(report_of(run_tessera({"profile", file(), "--from", "0", "--to", "1000", "--json"})).at("ops"),
            all.at("ops"));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", file(), "--from", "1000000"}), 2, {"--from", "the end at"}));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", file(), "--stage", "warm-up"}), 2, {"prefill, decode", "warm-up"}));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", file(), "--from", "5", "--to", "5"}), 2, {"--from"}));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", file(), "--from", "-5"}), 2, {"--from"}));
}

TEST_F(ProfileCommand, DrawsAPicture) {
  ASSERT_EQ(generate({"--max-tokens", "6"}, file()).exit_code, 0);
  const std::string picture = folder_.file("new/picture.svg");
  const ProgramRun run = run_tessera({"profile", file(), "--svg", picture});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("the picture lies in " + picture));
  EXPECT_THAT(base::read_file(picture),
              ::testing::AllOf(HasSubstr("<svg"), HasSubstr(">linear<"), HasSubstr("queue 0")));
  const std::string part = folder_.file("part.svg");
  EXPECT_EQ(run_tessera({"profile", file(), "--svg", part, "--from", "0", "--to", "0.2"}).exit_code, 0);
  EXPECT_THAT(base::read_file(part), HasSubstr("0.200 ms from 0.000 ms on"));
}

TEST_F(ProfileCommand, RefusesWhatIsNoProfile) {
  EXPECT_TRUE(fails_saying(run_tessera({"profile", folder_.file("absent.json")}), 3, {"absent.json"}));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", folder_.file("config.json")}), 3, {"config.json", "traceEvents"}));
  ASSERT_EQ(generate({"--max-tokens", "2"}, file()).exit_code, 0);
  const std::string text = base::read_file(file());
  const std::string cut = folder_.write("cut.json", text.substr(0, text.size() / 2));
  EXPECT_TRUE(fails_saying(run_tessera({"profile", cut}), 3, {"cut.json", "JSON"}));
}

TEST_F(ProfileCommand, IsRefusedAFolderBeforeTheWork) {
  EXPECT_TRUE(fails_saying(generate({}, folder_.path()), 2, {"--profile", "folder"}));
}

TEST_F(ProfileCommand, LeavesNoFileWhenTheWorkFails) {
  EXPECT_EQ(run_tessera({"generate", folder_.path(), "--prompt-ids", "1000", "--ids", "--profile", file()}).exit_code,
            2);
  EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_F(ProfileCommand, OfABenchHasAStageForEachMeasurement) {
  const ProgramRun run = run_tessera({"bench", folder_.path(), "--repeats", "2", "--decode", "3", "--prompt", "5",
                                      "--prefill", "8", "--batch", "1,2", "--profile", file()});
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("the profile lies in"));
  const profile::Profile profile = profile::read_trace_events(file());
  EXPECT_THAT(stages_of(profile), ElementsAre("prefill 8", "decode batch 1", "decode batch 2"));
  EXPECT_GT(counts_in(profile, "decode batch 2").at("linear"), 0);
}

TEST_F(ProfileCommand, OfABringupHasItsStages) {
  const ProgramRun run = run_tessera({"bringup", folder_.path(), "--report", folder_.file("report"), "--stages",
                                      "baseline,decode-modules,full-decode", "--profile", file()});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_THAT(run.error, HasSubstr("the profile lies in"));
  const profile::Profile profile = profile::read_trace_events(file());
  EXPECT_THAT(stages_of(profile), ElementsAre("baseline", "decode-modules", "full-decode"));
  EXPECT_GT(counts_in(profile, "decode-modules").at("linear"), 0);
}

TEST(InterruptedProfile, IsWhole) {
  const TinyFolder folder(nlohmann::json{{"max_position_embeddings", 100000}});
  const std::string file = folder.file("profile.json");
  const ProgramRun run =
      run_tessera({"generate", folder.path(), "--prompt-ids", "1,2,3", "--ids", "--max-tokens", "100000", "--context",
                   "100000", "--ignore-eos", "--profile", file},
                  "", [](int process, const std::filesystem::path& output) {
                    std::error_code error;
                    for (int i = 0; i < 6000 && !(std::filesystem::file_size(output, error) >= 40 && !error); ++i) {
                      std::this_thread::sleep_for(std::chrono::milliseconds(10));
                    }
                    ::kill(process, SIGINT);
                  });
  EXPECT_EQ(run.exit_code, 7) << run.error;
  const profile::Profile profile = profile::read_trace_events(file);
  EXPECT_GT(counts_in(profile, "decode").at("linear"), 0);
  EXPECT_EQ(profile.origin.flop_per_s, 0.0) << "measuring limits would keep the user waiting";
}

} // namespace
} // namespace tessera::test
