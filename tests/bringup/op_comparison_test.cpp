// The watch on every op: each golden function against the op on the device, the limits, what is found and saved.

#include "tessera/bringup/ops/op_comparison.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <regex>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/ops/op_replay.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/bringup/every_op.hpp"

namespace tessera::bringup {
namespace {

void expect_all_pass(const OpComparison& comparison) {
  for (const OpRow& row : comparison.rows()) {
    EXPECT_TRUE(row.figures.passed) << row.number << ' ' << row.name << '.' << row.figures.output << ": "
                                    << row.figures.relative_frobenius_error << " of "
                                    << row.figures.relative_frobenius_limit << ", PCC " << row.figures.pcc;
  }
  for (const auto& [what, count] : comparison.skipped()) ADD_FAILURE() << count << " skipped: " << what;
}

class EveryOp : public testing::TestWithParam<DataType> {
 protected:
  void SetUp() override {
    if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  }
};

TEST_P(EveryOp, IsWhatItsGoldenFunctionSaysInNativeNumerics) {
  Watched on(2);
  const std::set<std::string> names = run_all(on, GetParam());
  expect_all_pass(on.comparison);
  const auto golden = reference::golden_ops();
  EXPECT_EQ(names, std::set<std::string>(golden.begin(), golden.end()));
}

TEST_P(EveryOp, IsNearItsGoldenFunctionInExactNumerics) {
  Watched on(2, Numerics::EXACT);
  run_all(on, GetParam());
  expect_all_pass(on.comparison);
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryOp, testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B),
                         test::dtype_name);

class OpWatch : public testing::Test {
 protected:
  void SetUp() override {
    if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  }
};

/// Keeps the case of every op.
class Keeper : public runtime::QueueObserver {
 public:
  void before(MeshDevice& device, const OpRecord& record) override {
    if (reference::has_golden(record.name)) capture_.emplace(device, record);
  }
  void after(MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) override {
    if (run.kind != runtime::ProgramKind::OP) return;
    std::vector<OpCase> own = capture_->finish(device, record);
    cases.push_back(std::move(own.back()));
  }
  std::vector<OpCase> cases;

 private:
  std::optional<OpCapture> capture_;
};

void expect_same(const OpFigures& a, const OpFigures& b, const std::string& what) {
  EXPECT_EQ(a.output, b.output) << what;
  EXPECT_EQ(a.pcc, b.pcc) << what;
  EXPECT_EQ(a.max_abs_error, b.max_abs_error) << what;
  EXPECT_EQ(a.relative_frobenius_error, b.relative_frobenius_error) << what;
  EXPECT_EQ(a.passed, b.passed) << what;
}

TEST_F(OpWatch, EveryOpGivesTheSameFiguresWhenItsFileIsReplayed) {
  for (const Numerics numerics : {Numerics::NATIVE, Numerics::EXACT}) {
    Watched on(2, numerics);
    Keeper keeper;
    on.device->add_observer(keeper);
    run_all(on, DataType::BFLOAT16);
    on.device->remove_observer(keeper);
    std::map<std::int64_t, std::shared_ptr<MeshDevice>> devices; // by chips
    std::set<std::string> replayed;
    for (const OpCase& op : keeper.cases) {
      if (numerics == Numerics::EXACT && replayed.contains(op.record.name)) continue;
      auto& device = devices[op.chips()];
      if (!device) device = MeshDevice::open({.board = board_of(op), .numerics = numerics, .threads = 2});
      const auto path = on.folder.path() / "case.safetensors";
      save_case(path, op);
      const OpCase read = load_case(path);
      EXPECT_EQ(read.record.attributes.size(), op.record.attributes.size()) << op.record.name;
      expect_same(judge(op), judge(read), op.record.name);
      expect_same(judge(op), judge(run_again(*device, read)), op.record.name);
      replayed.insert(op.record.name);
    }
    const auto golden = reference::golden_ops();
    EXPECT_EQ(replayed, std::set<std::string>(golden.begin(), golden.end()));
  }
}

// Indices come from files, too: whatever stands there, a replay reads and writes within its tensors.
TEST_F(OpWatch, IndicesOfADamagedFileAreRefusedNotFollowed) {
  const std::set<std::string> lists{"begins", "counts", "places", "update_idxs_tensor"};
  for (const Numerics numerics : {Numerics::NATIVE, Numerics::EXACT}) {
    Watched on(2, numerics);
    Keeper keeper;
    on.device->add_observer(keeper);
    run_all(on, DataType::BFLOAT16);
    on.device->remove_observer(keeper);
    std::set<std::string> seen;
    for (const OpCase& op : keeper.cases) {
      if (!seen.insert(op.record.name).second) continue;
      const auto device = MeshDevice::open({.board = board_of(op), .numerics = numerics, .threads = 1});
      for (std::size_t i = 0; i < op.record.inputs.size(); ++i) {
        if (!is_integer(op.record.inputs[i].spec.dtype)) continue;
        const std::string& name = op.record.inputs[i].name;
        for (const std::int32_t value : {-5, 1'000'000, std::numeric_limits<std::int32_t>::max()}) {
          OpCase damaged = op;
          for (reference::ChipOperands& chip : damaged.inputs) std::ranges::fill(chip.at(i).integers, value);
          const auto refuses = [](const auto& run) {
            try {
              run();
              return false;
            } catch (const base::Error&) {
              return true;
            }
          };
          const bool replay = refuses([&] { run_again(*device, damaged); });
          const bool golden = refuses([&] { judge(damaged); });
          const std::string what = op.record.name + " with " + name + " of " + std::to_string(value);
          if (!lists.contains(name) || (name == "update_idxs_tensor" && value < 0)) continue; // others: no crash
          EXPECT_TRUE(replay) << what;
          EXPECT_TRUE(golden) << what;
        }
      }
    }
    EXPECT_TRUE(seen.contains("grouped_linear"));
  }
}

/// x times a number, but for the hundredth part that its record does not tell of.
Tensor wrong_mul(const Tensor& x, float scalar) {
  const Tensor y = Tensor::allocate(x.device(), x.spec(), "mul");
  const auto body = [in = x.view(), out = y.view(), scalar](const runtime::Unit& unit, const ops::TileAt& tile) {
    std::vector<float> values(static_cast<std::size_t>(kTileElements));
    ops::load_tile_rows(in.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, values.data());
    for (float& value : values) value *= scalar * 1.01F;
    kernels::kernels().store_tile(out.tiles(unit.chip, tile.matrix), tile.row, tile.column, tile.rows, values.data(),
                                  kTileWidth);
  };
  ops::launch(x.device(), {.name = "mul", .stages = {ops::for_each_tile(x.spec(), body)}}, {{"input_tensor", x}},
              {{"output", y}}, [&] {
                return ops::OpDetails{{{"scalar", double{scalar}}}, {}, ops::movement()};
              });
  return y;
}

TEST_F(OpWatch, NamesTheFirstWrongOpAloneSavesItAndItsReplayHasTheSameFigures) {
  Watched on;
  const Tensor w = on.random({1, 1, 64, 64}, DataType::BFLOAT8_B);
  const Tensor x = ops::linear(on.random({1, 1, 40, 64}), w, {});
  {
    const runtime::Scope scope(*on.device, "layers.1.mlp");
    ops::linear(wrong_mul(x, 0.5F), w, {}); // the second op's inputs are wrong, it is not
  }
  on.device->synchronize();
  EXPECT_EQ(on.comparison.compared(), 3);
  EXPECT_EQ(on.comparison.below(), 1);
  ASSERT_TRUE(on.comparison.first_below().has_value());
  const OpRow& row = *on.comparison.first_below();
  EXPECT_EQ(row.name, "mul");
  EXPECT_EQ(row.number, 2);
  EXPECT_EQ(row.scope, "layers.1.mlp");
  EXPECT_NEAR(row.figures.relative_frobenius_error, 0.01, 0.001);
  EXPECT_GT(row.figures.pcc, 0.9999) << "which PCC alone would have let pass";
  EXPECT_EQ(on.comparison.saved(), on.folder.path() / "op-2-mul.safetensors");

  const OpCase saved = load_case(on.comparison.saved());
  const auto fresh = MeshDevice::open({.board = board_of(saved), .threads = 1});
  const auto wrong = [](const OpCall& call) {
    return std::vector<Tensor>{wrong_mul(call.input("input_tensor"), static_cast<float>(call.number("scalar")))};
  };
  expect_same(row.figures, judge(run_again(*fresh, saved, wrong)), "replayed");
  EXPECT_TRUE(judge(run_again(*fresh, saved)).passed) << "the op as it should be";
}

TEST_F(OpWatch, FindsAnOpThatFailsOnOneChipOfAMesh) {
  Watched on(2);
  const Tensor x = on.shards({1, 1, 32, 64});
  const Tensor y = Tensor::allocate(*on.device, x.spec(), "add");
  const auto body = [in = x.view(), out = y.view()](const runtime::Unit& unit) {
    for (std::int64_t i = 0; i < 2 * tile_bytes(DataType::BFLOAT16); ++i)
      out.bytes(unit.chip)[i] = in.bytes(unit.chip == 1 && i < 2 ? 0 : unit.chip)[i]; // one element of chip 1
  };
  ops::launch(*on.device, {.name = "copy", .stages = {{1, body}}}, {{"input_tensor", x}}, {{"output", y}},
              [] { return ops::OpDetails{.decomposition = ops::movement()}; });
  on.device->synchronize();
  ASSERT_EQ(on.comparison.below(), 1);
  EXPECT_EQ(on.comparison.first_below()->figures.chip, 1);
  EXPECT_EQ(on.comparison.first_below()->figures.relative_frobenius_limit, 0.0) << "what is moved stays as it is";
}

TEST_F(OpWatch, SeesEachOpOfEachReplayOfATrace) {
  Watched on;
  const Tensor x = on.integers({4}, {1, 2, -1, 4});
  ops::plus_one(x);
  const auto trace = on.device->begin_trace_capture();
  ops::plus_one(x);
  ops::plus_one(x);
  on.device->end_trace_capture(trace);
  for (int replay = 0; replay < 3; ++replay) on.device->execute_trace(trace);
  on.device->synchronize();
  EXPECT_EQ(on.comparison.compared(), 1 + 3 * 2);
  EXPECT_EQ(on.comparison.below(), 0);
}

TEST_F(OpWatch, LeavesOutWhatHasNoGoldenFunctionAndSaysSo) {
  Watched on;
  const Tensor x = on.random({1, 1, 32, 32});
  ops::launch(*on.device, {.name = "unheard_of", .stages = {{1, [](const runtime::Unit&) {}}}}, {{"x", x}}, {},
              [] { return ops::OpDetails{.decomposition = ops::movement()}; });
  on.device->synchronize();
  EXPECT_EQ(on.comparison.compared(), 0);
  EXPECT_EQ(on.comparison.skipped().at("unheard_of: it has no golden function"), 1);
}

// An op that is added without a golden function fails here: the names by which sources of ops launch their programs.
TEST_F(OpWatch, EveryOpInTheSourcesHasAGoldenFunction) {
  const std::regex name(
      R"re((?:string_view kName = |\.name = |\brequire_tile\(|\bcollective\(|\bunary\(|\bbinary\(|_heads\(|\bpool\(|\blaunch_copy\(|\bmoved\(|_all_gather\()\s*"(\w+)")re");
  std::set<std::string> missing;
  std::set<std::string> found;
  const std::filesystem::path folder = std::filesystem::path(TESSERA_SOURCE_DIR) / "tessera" / "ops";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = base::read_file(entry.path(), 1 << 20);
    for (std::sregex_iterator match(text.begin(), text.end(), name), end; match != end; ++match)
      (reference::has_golden((*match)[1].str()) ? found : missing).insert((*match)[1]);
  }
  EXPECT_EQ(missing, std::set<std::string>());
  const auto golden = reference::golden_ops();
  EXPECT_EQ(found, std::set<std::string>(golden.begin(), golden.end()));
}

TEST_F(OpWatch, RefusesFilesThatHoldNoOp) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.safetensors";
  const std::vector<float> one{1.0F};
  const checkpoint::OutputTensor tensor{"x", checkpoint::StorageType::F32, {1}, std::as_bytes(std::span(one))};
  for (const std::map<std::string, std::string>& metadata :
       {std::map<std::string, std::string>{}, {{"tessera_op", "{"}}, {{"tessera_op", "{\"name\": \"mul\"}"}}}) {
    checkpoint::write_safetensors(path, {&tensor, 1}, metadata);
    EXPECT_THROW(load_case(path), base::IoError);
  }
}

} // namespace
} // namespace tessera::bringup
