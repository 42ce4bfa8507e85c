#include "tessera/bringup/tune/tuner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/tune/precision_path.hpp"
#include "tessera/bringup/tune/tune_report.hpp"
#include "tessera/bringup/tune/tune_state.hpp"
#include "tessera/bringup/tune/weight_traffic.hpp"
#include "tessera/models/load.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::bringup {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const nn::PrecisionSubject kSubject{.family = "llama", .layers = 3, .parameters = 1000};

/// A model of three layers whose losses and bytes are known: BFLOAT4_B loses 256 times what BFLOAT8_B does, the middle
/// layer is hardly sensitive, and activations lose as much as all weights in BFLOAT8_B.
class Imagined {
 public:
  TuneProblem problem(const PrecisionSpace& space) {
    return {.space = space,
            .accuracy =
                [this](const nlohmann::json& file, TextPart part) {
                  EXPECT_TRUE(measured.insert(file.dump() + (part == TextPart::JUDGED ? "j" : "c")).second)
                      << "measured twice: " << file.dump();
                  const double kl = loss(file) * (part == TextPart::JUDGED ? 1.1 : 1.0);
                  return TuneAccuracy{.top1 = 1 - std::sqrt(kl), .top5 = 1, .kl_divergence = kl, .positions = 100};
                },
            .cost =
                [](const nlohmann::json& file) {
                  return TuneCost{.weight_bytes = bytes(file), .decode_ns = 1e5 + bytes(file)};
                }};
  }

  static std::string format(const nlohmann::json& file, int layer, const std::string& group) {
    const std::string number = std::to_string(layer);
    if (file.contains("layers") && file["layers"].contains(number) && file["layers"][number].contains(group))
      return file["layers"][number][group];
    const std::string base = file.at("base");
    if (base == "bf16" || base == "bfp4") return base;
    return base == "performance" && group == "ff1_3" ? "bfp4" : "bfp8";
  }
  static double bytes(const nlohmann::json& file) {
    const std::map<std::string, double> of_format = {{"bf16", 2048}, {"bfp8", 1088}, {"bfp4", 576}};
    double sum = 0;
    for (int layer = 0; layer < 3; ++layer)
      for (const auto& [group, tiles] : sizes()) sum += tiles * of_format.at(format(file, layer, group));
    return sum;
  }
  static double loss(const nlohmann::json& file) {
    const std::map<std::string, double> of_format = {{"bf16", 0}, {"bfp8", 1e-6}, {"bfp4", 256e-6}};
    double sum = file.value("activation", "bf16") == "f32" ? 0 : 30e-6;
    for (int layer = 0; layer < 3; ++layer)
      for (const auto& [group, tiles] : sizes())
        sum += (layer == 1 ? 0.02 : 1.0) * of_format.at(format(file, layer, group));
    return sum;
  }
  static const std::map<std::string, double>& sizes() {
    static const std::map<std::string, double> tiles = {{"wqkv", 4}, {"wo", 2}, {"ff1_3", 8}, {"ff2", 4}};
    return tiles;
  }

  std::set<std::string> measured;
};

PrecisionSpace space(const std::vector<std::string>& groups = {"wqkv", "wo", "ff1_3", "ff2", "activation"}) {
  return {"accuracy", kSubject, groups, false};
}

TEST(Tune, FindsFewerBytesAtNoLessAccuracy) {
  const PrecisionSpace groups = space();
  Imagined model;
  const TuneResult result = tune(model.problem(groups), {});
  const TunePoint& base = result.points.front();
  ASSERT_TRUE(result.chosen.has_value());
  const TunePoint& chosen = result.points[*result.chosen];
  EXPECT_EQ(base.name, "accuracy");
  EXPECT_LT(chosen.cost.weight_bytes, base.cost.weight_bytes);
  EXPECT_GE(chosen.accuracy.top1, base.accuracy.top1);
  EXPECT_LE(result.chosen_calibration.kl_divergence, result.base_calibration.kl_divergence);
  EXPECT_EQ(chosen.file.at("layers").at("1").at("ff1_3"), "bfp4"); // the layer that bears it
  EXPECT_TRUE(chosen.on_front);
}

TEST(Tune, FindsMoreAccuracyWithinThePresetsBytes) {
  const PrecisionSpace groups = space();
  Imagined model;
  const double bytes = Imagined::bytes({{"base", "performance"}});
  const TuneResult result = tune(model.problem(groups), {.limits = {.max_weight_bytes = bytes}});
  ASSERT_TRUE(result.chosen.has_value());
  const TunePoint& chosen = result.points[*result.chosen];
  EXPECT_LE(chosen.cost.weight_bytes, bytes);
  EXPECT_LT(chosen.accuracy.kl_divergence, 0.8 * 1.1 * Imagined::loss({{"base", "performance"}}));
}

TEST(Tune, KeepsToLimitsThatTheUserSets) {
  const PrecisionSpace groups = space();
  Imagined model;
  const TuneResult by_top1 = tune(model.problem(groups), {.limits = {.min_top1 = 0.98}});
  EXPECT_GE(by_top1.points[by_top1.chosen.value()].accuracy.top1, 0.98);
  Imagined again;
  const TuneResult by_kl = tune(again.problem(groups), {.limits = {.max_kl = 1e-3}});
  EXPECT_LE(by_kl.points[by_kl.chosen.value()].accuracy.kl_divergence, 1e-3);
  Imagined third;
  const double fewest = Imagined::bytes({{"base", "bfp4"}});
  const TuneResult both = tune(third.problem(groups), {.limits = {.min_top1 = 0.98, .max_weight_bytes = fewest}});
  EXPECT_FALSE(both.chosen.has_value());
}

TEST(Tune, SaysTheFewestBytesBeforeItMeasures) {
  const PrecisionSpace groups = space();
  Imagined model;
  try {
    tune(model.problem(groups), {.limits = {.max_weight_bytes = 10.0}});
    ADD_FAILURE();
  } catch (const base::InvalidArgument& error) {
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("{:.0f} bytes of weights or more", Imagined::bytes({{"base", "bfp4"}}))));
  }
  EXPECT_TRUE(model.measured.empty());
}

TEST(Tune, SaysWhenNothingIsAccurateEnough) {
  const PrecisionSpace groups = space({"wo"});
  Imagined model;
  EXPECT_FALSE(tune(model.problem(groups), {.limits = {.min_top1 = 0.99999}}).chosen.has_value());
}

TEST(Tune, GivesTheSameForTheSameSeed) {
  const PrecisionSpace groups = space();
  Imagined first;
  Imagined second;
  const TuneOptions options{.limits = {.min_top1 = 0.97}, .seed = 7};
  EXPECT_EQ(tune_json(tune(first.problem(groups), options)).dump(),
            tune_json(tune(second.problem(groups), options)).dump());
}

TEST(Tune, GoesByThePredictionWhereItIsAsked) {
  const PrecisionSpace groups = space();
  Imagined model;
  TuneProblem problem = model.problem(groups);
  // A card on which the attention's formats cost nothing.
  problem.cost = [](const nlohmann::json& file) {
    double time = 1e5;
    for (int layer = 0; layer < 3; ++layer)
      for (const char* group : {"ff1_3", "ff2"}) time += Imagined::format(file, layer, group) == "bfp4" ? 1e3 : 2e3;
    return TuneCost{.weight_bytes = Imagined::bytes(file), .decode_ns = time};
  };
  const TuneResult result =
      tune(problem, {.objective = TuneObjective::TOKENS_PER_S, .limits = {.max_kl = 700e-6}, .trials = 4});
  const nlohmann::json& chosen = result.points[result.chosen.value()].file;
  EXPECT_EQ(Imagined::format(chosen, 1, "ff2"), "bfp4");
  for (int layer = 0; layer < 3; ++layer) EXPECT_NE(Imagined::format(chosen, layer, "wqkv"), "bfp4");

  problem.cost = [](const nlohmann::json& file) { return TuneCost{.weight_bytes = Imagined::bytes(file)}; };
  model.measured.clear();
  EXPECT_THROW(tune(problem, {.objective = TuneObjective::TOKENS_PER_S}), base::InvalidArgument);
}

TEST(Tune, RefusesLimitsThatAreNoNumbers) {
  const PrecisionSpace groups = space();
  Imagined model;
  EXPECT_THROW(tune(model.problem(groups), {.limits = {.min_top1 = std::nan("")}}), base::InvalidArgument);
  EXPECT_THROW(tune(model.problem(groups), {.limits = {.min_top1 = 95.0}}), base::InvalidArgument);
  EXPECT_THROW(tune(model.problem(groups), {.trials = -1}), base::InvalidArgument);
}

/// A card on which a precision fits up to so many bytes.
TuneProblem limited(TuneProblem problem, double most, bool in_cost) {
  auto& cost = problem.cost;
  auto& accuracy = problem.accuracy;
  const auto require_fit = [most](const nlohmann::json& file) {
    base::require<base::OutOfMemory>(Imagined::bytes(file) <= most, "[allocate] {} must fit", file.dump());
  };
  if (in_cost) {
    cost = [require_fit, cost](const nlohmann::json& file) {
      require_fit(file);
      return cost(file);
    };
  } else {
    accuracy = [require_fit, accuracy](const nlohmann::json& file, TextPart part) {
      require_fit(file);
      return accuracy(file, part);
    };
  }
  return problem;
}

TEST(Tune, LeavesOutWhatDoesNotFit) {
  const PrecisionSpace groups = space();
  const double base = Imagined::bytes({{"base", "accuracy"}});
  for (const bool in_cost : {true, false}) {
    Imagined model;
    // Room for one of the small matrices in bf16, but for no two.
    const TuneResult result = tune(limited(model.problem(groups), base + 2500, in_cost), {});
    ASSERT_TRUE(result.chosen.has_value());
    EXPECT_LT(result.points[*result.chosen].cost.weight_bytes, base);
    EXPECT_GE(result.points[*result.chosen].accuracy.top1, result.points.front().accuracy.top1);
    for (const TunePoint& point : result.points) EXPECT_LE(point.cost.weight_bytes, base + 2500) << point.name;
    ASSERT_FALSE(result.too_large.empty());
    EXPECT_EQ(result.too_large.front().name, "bf16");
    EXPECT_THAT(tune_table(result), HasSubstr("does not fit, not measured: bf16, layers.0.wqkv in BFLOAT16 hifi4, "));
    EXPECT_THAT(tune_json(result).at("too_large").at(0).at("reason"), HasSubstr("must fit"));

    Imagined again;
    const TuneResult accurate =
        tune(limited(again.problem(groups), base, in_cost), {.limits = {.max_weight_bytes = base}});
    EXPECT_EQ(accurate.points[accurate.chosen.value()].file.at("activation"), "f32");

    Imagined third;
    EXPECT_THROW(tune(limited(third.problem(groups), base - 1, in_cost), {}), base::OutOfMemory);
  }
}

TEST(Tune, NeverTakesLogitsThatAreNoNumbers) {
  const PrecisionSpace groups = space();
  const auto broken = [&](const std::function<bool(const nlohmann::json&)>& is_broken, const TuneLimits& limits) {
    Imagined model;
    TuneProblem problem = model.problem(groups);
    problem.accuracy = [&, imagine = problem.accuracy](const nlohmann::json& file, TextPart part) {
      TuneAccuracy accuracy = imagine(file, part);
      if (is_broken(file)) accuracy.kl_divergence = std::nan("");
      return accuracy;
    };
    return tune(problem, {.limits = limits});
  };
  const auto has_bfp4 = [](const nlohmann::json& file) { return file.dump().find("bfp4") != std::string::npos; };
  const TuneLimits all[] = {{}, {.min_top1 = 0.5}, {.max_weight_bytes = Imagined::bytes({{"base", "performance"}})}};
  for (const TuneLimits& limits : all) {
    const TuneResult result = broken(has_bfp4, limits);
    ASSERT_TRUE(result.chosen.has_value());
    EXPECT_FALSE(has_bfp4(result.points[*result.chosen].file));
    EXPECT_THAT(tune_table(result), Not(HasSubstr("nan")));
  }
  EXPECT_THROW(broken([](const nlohmann::json&) { return true; }, {}), base::InvalidArgument);
}

TEST(Tune, DrawsAndPrintsTheFront) {
  const PrecisionSpace groups = space();
  Imagined model;
  const TuneResult result = tune(model.problem(groups), {});
  EXPECT_THAT(tune_table(result), HasSubstr("<- chosen"));
  EXPECT_THAT(tune_table(result), HasSubstr("performance"));
  const std::string svg = tune_svg(result, "a <title> \xff");
  EXPECT_THAT(svg, HasSubstr("a &lt;title&gt; \xEF\xBF\xBD")); // no UTF-8: U+FFFD
  EXPECT_THAT(svg, HasSubstr("predicted for the card"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(TuneState, GoesOnWhereARunWasStopped) {
  const test::TemporaryFolder folder;
  const PrecisionSpace groups = space();
  struct Stop {};
  int measured = 0;
  const auto run = [&](int stop_after, const std::string& identity) {
    TuneState state(folder.path(), identity);
    Imagined model;
    TuneProblem problem = model.problem(groups);
    const auto imagine = problem.accuracy;
    problem.accuracy = [&](const nlohmann::json& file, TextPart part) {
      if (const auto known = state.find(file, part)) return *known;
      if (stop_after-- == 0) throw Stop();
      ++measured;
      const TuneAccuracy accuracy = imagine(file, part);
      state.add(file, part, accuracy);
      return accuracy;
    };
    return tune_json(tune(problem, {}));
  };
  EXPECT_THROW(run(9, "model a"), Stop);
  EXPECT_EQ(measured, 9);
  const nlohmann::json resumed = run(10000, "model a");
  const int of_one_run = measured;
  measured = 0;
  const nlohmann::json whole = run(10000, "model b"); // takes nothing of another model's
  EXPECT_EQ(measured, of_one_run);
  EXPECT_EQ(resumed, whole);
  measured = 0;
  EXPECT_EQ(run(0, "model a"), whole);
  EXPECT_EQ(measured, 0);
}

TEST(TuneState, BeginsAnewAfterDamage) {
  const test::TemporaryFolder folder;
  TuneState state(folder.path(), "model");
  state.add({{"base", "bf16"}}, TextPart::JUDGED, {.top1 = 0.5, .kl_divergence = INFINITY, .positions = 3});
  const TuneState again(folder.path(), "model");
  ASSERT_TRUE(again.find({{"base", "bf16"}}, TextPart::JUDGED).has_value());
  EXPECT_EQ(again.find({{"base", "bf16"}}, TextPart::JUDGED)->kl_divergence, INFINITY);
  EXPECT_FALSE(again.find({{"base", "bf16"}}, TextPart::CALIBRATION).has_value());
  for (const char* damaged :
       {"{\"identity\": ", R"({"identity": 5, "measurements": {}})", R"({"identity": "model", "measurements": 5})"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      base::write_file_atomically(entry.path(), damaged);
    EXPECT_EQ(TuneState(folder.path(), "model").size(), 0U) << damaged;
  }
}

TEST(TuneState, KeepsWhatSearchesSideBySideMeasure) {
  const test::TemporaryFolder folder;
  TuneState first(folder.path(), "model");
  TuneState second(folder.path(), "model");
  first.add({{"base", "bf16"}}, TextPart::JUDGED, {.top1 = 0.5, .positions = 3});
  second.add({{"base", "bfp8"}}, TextPart::JUDGED, {.top1 = 0.4, .positions = 3});
  first.add({{"base", "bfp4"}}, TextPart::JUDGED, {.top1 = 0.3, .positions = 3});
  EXPECT_EQ(TuneState(folder.path(), "model").size(), 3U);
}

TEST(PrecisionSpace, WritesWhatPrecisionReads) {
  const test::TemporaryFolder folder;
  const PrecisionSpace all("performance", kSubject, {}, false);
  Assignment assignment = all.base_assignment();
  EXPECT_EQ(all.file(assignment), (nlohmann::json{{"base", "performance"}}));
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    if (all.knobs()[i].name() == "layers.2.ff1_3" || all.knobs()[i].name() == "lm_head") assignment[i] = 0;
  }
  const std::string path = folder.write("p.json", all.file(assignment).dump()).string();
  const nn::Precision precision = nn::make_precision(path, kSubject);
  EXPECT_EQ(precision.lm_head, DataType::BFLOAT16);
  EXPECT_EQ(precision.of_layer(2).ff1_3, DataType::BFLOAT16);
  EXPECT_EQ(precision.of_layer(2).li_ff1_3.decode, named_compute_config("hifi4"));
  EXPECT_EQ(precision.of_layer(1).ff1_3, DataType::BFLOAT4_B);
}

TEST(PrecisionSpace, HasFidelitiesWhereNumericsTellThemApart) {
  const PrecisionSpace native("accuracy", kSubject, {"wo"}, false);
  const PrecisionSpace exact("accuracy", kSubject, {"wo"}, true);
  EXPECT_EQ(native.knobs().front().choices.size(), 3U);
  EXPECT_EQ(exact.knobs().front().choices.size(), 5U);
  Assignment low = exact.base_assignment();
  ++low[0];
  EXPECT_EQ(exact.file(low).at("layers").at("0"), (nlohmann::json{{"wo", "bfp8"}, {"li_o", "lofi"}}));
}

TEST(PrecisionSpace, RefusesWhatIsNoPresetOrGroup) {
  EXPECT_THROW(PrecisionSpace("full", kSubject, {}, false), base::InvalidArgument);
  EXPECT_THROW(PrecisionSpace("mine.json", kSubject, {}, false), base::InvalidArgument);
  EXPECT_THROW(PrecisionSpace("accuracy", kSubject, {"wq"}, false), base::InvalidArgument);
}

TEST(EffectTable, TakesFirstWhatSavesMostForItsLoss) {
  // Two knobs of three choices; the second's middle choice lies above the line between its others.
  const EffectTable table({{{10, 0, true}, {5, 1, true}, {2, 10, true}}, {{10, 0, true}, {9, 5, true}, {0, 6, true}}});
  EXPECT_EQ(table.path(), (std::vector<Assignment>{{0, 0}, {1, 0}, {1, 2}, {2, 2}}));
}

TEST(EffectTable, NeverTakesWhatWasNotMeasured) {
  const EffectTable table({{{10, 0, true}, {5, 0, false}, {2, 3, true}}});
  EXPECT_EQ(table.path(), (std::vector<Assignment>{{0}, {2}}));
}

TEST(WeightBytesPerStep, AreThoseOfMatricesNormsAndOneRowOfTheEmbedding) {
  const auto checkpoint = checkpoint::Checkpoint::open_config(TESSERA_SOURCE_DIR "/demo/config.json");
  const auto bytes = [&](const std::string& precision) {
    const auto device =
        runtime::MeshDevice::open({.board = board("n150"), .mode = runtime::RunMode::RECORD, .threads = 1});
    const auto model = models::load(device, checkpoint, {.precision = precision, .context = 128});
    return weight_bytes_per_step(*model, 1);
  };
  // Demo: E 256, F 704, KV width 128, V 2048, 4 layers; tiles of 32 x 32.
  constexpr std::int64_t kLayer = 8 * 16 + 8 * 8 + 3 * 8 * 22;
  constexpr std::int64_t kHead = 8 * 64;
  constexpr std::int64_t kNorms = 9 * 8 * 2048;
  EXPECT_EQ(bytes("bfp8"), (4 * kLayer + kHead) * 1088 + kNorms + 256 * 2);
  EXPECT_EQ(bytes("bf16") - bytes("bfp8"), (4 * kLayer + kHead) * (2048 - 1088));
}

TEST(WeightBytesPerStep, CountTheExpertsThatAreRead) {
  const auto bytes = [](const char* name, const char* precision) {
    const auto checkpoint =
        checkpoint::Checkpoint::open_config(std::string(TESSERA_SOURCE_DIR) + "/configs/" + name + ".json");
    BoardSpec large = board("n150");
    large.arch.dram_bytes_per_bank = std::int64_t{1} << 40;
    const auto device = runtime::MeshDevice::open({.board = large, .mode = runtime::RunMode::RECORD, .threads = 1});
    const auto model = models::load(device, checkpoint, {.precision = precision, .context = 128, .layers = 1});
    return weight_bytes_per_step(*model, 1);
  };
  // Mixtral 8x7B: two experts of eight, each 3 matrices of 4096 x 14336.
  const std::int64_t experts = bytes("mixtral-8x7b-v0.1", "bf16") - bytes("mixtral-8x7b-v0.1", "bfp8");
  const std::int64_t tiles = 2 * 3 * 128 * 448 + 128 * (128 + 64) + 128 * 128 + 128 * 1000;
  EXPECT_NEAR(static_cast<double>(experts), static_cast<double>(tiles * (2048 - 1088)),
              1e6); // the router is no format's
}

} // namespace
} // namespace tessera::bringup
