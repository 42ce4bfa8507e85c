// DecoderModel::run_module against the whole model and against the definition.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/nn/naive_decoder.hpp"

namespace tessera::nn {
namespace {

using test::bits_of;
using test::random_values;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kFullTolerance = 1e-4;

HostTensor sum(HostTensor a, const HostTensor& b) {
  for (std::size_t i = 0; i < a.data.size(); ++i) a.data[i] += b.data[i];
  return a;
}

std::vector<NaiveDecoder::Row> rows_of(const HostTensor& x, std::int64_t sequence) {
  std::vector<NaiveDecoder::Row> rows;
  for (std::int64_t position = 0; position < x.shape[1]; ++position) {
    const auto row = x.row(sequence * x.shape[1] + position);
    rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

class ModulesOfPhase : public testing::TestWithParam<Phase> {
 protected:
  SmallDecoder small{small_config_with_window(20)};
  NaiveDecoder naive{small};
  std::unique_ptr<DecoderModel> model = small.load("full", 3);

  HostTensor run(const std::string& name, const HostTensor& x) { return model->run_module(name, x, GetParam()); }
  /// Compares rows that the definition gives for each sequence.
  template <typename Definition>
  void expect_module(const std::string& name, std::int64_t width, Definition&& definition) {
    const HostTensor x = random_values({4, 40, width}, 5); // more sequences than users
    const HostTensor y = run(name, x);
    ASSERT_EQ(y.shape[0], 4);
    ASSERT_EQ(y.shape[1], 40);
    for (std::int64_t sequence = 0; sequence < 4; ++sequence) {
      const std::vector<NaiveDecoder::Row> expected = definition(rows_of(x, sequence));
      for (std::int64_t position = 0; position < 40; ++position) {
        const auto actual = y.row(sequence * 40 + position);
        const NaiveDecoder::Row& row = expected[static_cast<std::size_t>(position)];
        ASSERT_EQ(actual.size(), row.size());
        for (std::size_t i = 0; i < row.size(); ++i)
          ASSERT_NEAR(actual[i], row[i], kFullTolerance) << name << " " << sequence << ", " << position << ", " << i;
      }
    }
  }
  template <typename OfRow>
  static auto each(OfRow&& of_row) {
    return [of_row](const std::vector<NaiveDecoder::Row>& rows) {
      std::vector<NaiveDecoder::Row> result;
      for (std::size_t position = 0; position < rows.size(); ++position)
        result.push_back(of_row(rows[position], static_cast<std::int64_t>(position)));
      return result;
    };
  }
};
INSTANTIATE_TEST_SUITE_P(Phases, ModulesOfPhase, testing::Values(Phase::DECODE, Phase::PREFILL), [](const auto& test) {
  return std::string(test.param == Phase::DECODE ? "Decode" : "Prefill");
});

TEST_P(ModulesOfPhase, AgreeWithTheirDefinition) {
  expect_module("layers.1.input_norm", 48,
                each([&](const auto& row, std::int64_t) { return naive.norm(row, "model.layers.1.input_layernorm"); }));
  expect_module("layers.0.post_attention_norm", 48, each([&](const auto& row, std::int64_t) {
                  return naive.norm(row, "model.layers.0.post_attention_layernorm");
                }));
  expect_module("final_norm", 48, each([&](const auto& row, std::int64_t) { return naive.norm(row, "model.norm"); }));
  expect_module("layers.1.rope", 48, each([&](const auto& row, std::int64_t at) { return naive.rotate(row, 6, at); }));
  expect_module("layers.1.mlp", 48, each([&](const auto& row, std::int64_t) { return naive.mlp(row, 1); }));
  for (const std::int64_t layer : {0, 1}) {
    expect_module(fmt::format("layers.{}.attention", layer), 48,
                  [&](const auto& rows) { return naive.attention(rows, layer); });
  }
}

TEST_P(ModulesOfPhase, PiecesMakeUpTheModelBitForBit) {
  HostTensor ids{{2, 40}, {}};
  for (const std::uint32_t seed : {1U, 2U}) {
    for (const std::int32_t id : random_ids(40, seed)) ids.data.push_back(static_cast<float>(id));
  }
  HostTensor x = run("embedding", ids);
  EXPECT_EQ(x.shape, (Shape{2, 40, 48}));
  for (const std::string layer : {"layers.0", "layers.1"}) {
    const HostTensor whole = run(layer, x);
    // float32 is kept on the way to the host and back, and the device adds in fp32 too.
    const HostTensor attended = sum(x, run(layer + ".attention", run(layer + ".input_norm", x)));
    const HostTensor pieces = sum(attended, run(layer + ".mlp", run(layer + ".post_attention_norm", attended)));
    EXPECT_EQ(bits_of(pieces), bits_of(whole)) << layer;
    x = whole;
  }
  const HostTensor logits = run("lm_head", run("final_norm", x));
  EXPECT_EQ(logits.shape, (Shape{2, 40, 50}));
  for (const std::uint32_t sequence : {0U, 1U}) {
    const std::vector<std::int32_t> sequence_ids = random_ids(40, sequence + 1);
    if (GetParam() == Phase::PREFILL) {
      const HostTensor expected = model->prefill(0, sequence_ids, LogitsRows::ALL, nullptr);
      EXPECT_TRUE(std::equal(expected.data.begin(), expected.data.end(), logits.data.begin() + sequence * 40 * 50));
      continue;
    }
    for (std::int32_t position = 0; position < 40; ++position) {
      const std::int32_t id = sequence_ids[static_cast<std::size_t>(position)];
      const HostTensor expected = model->decode({{id}}, {{position}}, nullptr);
      EXPECT_TRUE(std::equal(expected.data.begin(), expected.data.end(), logits.row(sequence * 40 + position).begin()))
          << "position " << position;
    }
  }
}

TEST_P(ModulesOfPhase, EveryNameRuns) {
  for (const std::string& name : model->module_names()) {
    const bool ids = name == "embedding";
    const HostTensor x = ids ? HostTensor{{1, 2}, {3, 4}} : random_values({1, 2, 48}, 1);
    EXPECT_EQ(run(name, x).shape, (Shape{1, 2, name == "lm_head" ? 50 : 48})) << name;
  }
}

TEST_P(ModulesOfPhase, RefuseUnknownNamesAndOtherWidths) {
  const HostTensor x = random_values({1, 2, 48}, 1);
  for (const char* name : {"", "layers", "layers.", "layers.2", "layers.-1", "layers.0.", "layers.0.mlp2",
                           "layers.x.mlp", "lm_head2", "layers.99999999999999999999.mlp"}) {
    EXPECT_THAT([&] { run(name, x); },
                ThrowsMessage<base::InvalidArgument>(HasSubstr(fmt::format("is required; received {}", name))));
  }
  for (const char* name : {"layers.0", "layers.0.mlp", "layers.0.rope", "final_norm", "lm_head"}) {
    EXPECT_THAT(
        [&] {
          run(name, random_values({1, 2, 40}, 1));
        },
        ThrowsMessage<base::InvalidArgument>(HasSubstr("rows of 48 values are required; received 40")));
  }
  EXPECT_THAT(
      [&] {
        run("layers.0", random_values({2, 48}, 1));
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("takes [B, S, width]; received [2, 48]")));
  EXPECT_THAT([&] { run("embedding", x); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("embedding takes [B, S]; received [1, 2, 48]")));
  EXPECT_THAT(
      [&] {
        run("embedding", {{1, 1}, {50}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("token ids must be in 0..49; received 50")));
  EXPECT_THAT(
      [&] {
        run("layers.0.attention", random_values({1, 97, 48}, 1));
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("raise --context")));
}

TEST(ModuleNames, ComeInTheOrderOfTheGuide) {
  const auto model = plan(small_config(), "full", 1);
  const std::vector<std::string> names = model->module_names();
  EXPECT_THAT(
      names, testing::ElementsAre("embedding", "layers.0.input_norm", "layers.0.rope", "layers.0.attention",
                                  "layers.0.post_attention_norm", "layers.0.mlp", "layers.0", "layers.1.input_norm",
                                  "layers.1.rope", "layers.1.attention", "layers.1.post_attention_norm", "layers.1.mlp",
                                  "layers.1", "final_norm", "lm_head"));
}

} // namespace
} // namespace tessera::nn
