#include "tessera/nn/decoder_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/nn/naive_decoder.hpp"

namespace tessera::nn {
namespace {

using test::bits_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// fp32 sums of up to 72 products through two layers: some 1e-6 of logits of size 1 to 5. What the product promises.
constexpr double kFullTolerance = 1e-4;

struct Variant {
  std::string name;
  DecoderConfig config;
};
DecoderConfig with_rope(const RopeConfig& rope) {
  DecoderConfig config = small_config();
  config.rope = rope;
  return config;
}
DecoderConfig with_gelu_gate() {
  DecoderConfig config = small_config();
  config.activation = ops::Activation::GELU;
  return config;
}
DecoderConfig sequential_with_layer_norms() {
  DecoderConfig config = parallel_config(true);
  config.parallel_residual = false;
  return config;
}
const std::vector<Variant> kVariants = {
    {"Llama", small_config()},
    {"Window5", small_config_with_window(5)},
    {"Window40", small_config_with_window(40)},
    {"Biases", small_config_with_biases()},
    {"GeluGate", with_gelu_gate()},
    {"Parallel", parallel_config(true)},
    {"ParallelWithOneNorm", parallel_config(false)},
    {"SequentialWithLayerNorms", sequential_with_layer_norms()},
    {"NormsAndCaps", capped_config()},
    {"LongRope", long_config()},
    {"LearnedPositions", learned_config()},
    {"Alibi", alibi_config()},
    {"Experts", experts_config()},
    {"LinearRope", with_rope({.theta = 10000.0, .linear_factor = 4.0})},
    {"Llama3Rope", with_rope({.theta = 500.0, .llama3 = Llama3RopeScaling{4.0, 1.0, 4.0, 64}})}};

class DecoderModelVariants : public testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Variants, DecoderModelVariants, testing::ValuesIn(kVariants),
                         [](const auto& test) { return test.param.name; });

/// Logits [S, V] of a sequence fed token by token to user 0.
HostTensor decode_all(DecoderModel& model, const std::vector<std::int32_t>& ids, std::int32_t first = 0) {
  HostTensor result{{static_cast<std::int64_t>(ids.size()), model.info().vocab_size}, {}};
  if (first == 0) model.begin_sequence(0, result.shape[0]);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int32_t position = first + static_cast<std::int32_t>(i);
    const HostTensor row = model.decode({{ids[i]}}, {{position}}, nullptr);
    result.data.insert(result.data.end(), row.data.begin(), row.data.end());
  }
  return result;
}

TEST_P(DecoderModelVariants, FullPrecisionAgreesWithDoublePrecisionInPrefillAndDecode) {
  const SmallDecoder small(GetParam().config);
  const auto model = small.load();
  const std::vector<std::int32_t> ids = random_ids(70, 1);
  HiddenStates expected_states;
  const HostTensor expected = NaiveDecoder(small).logits(ids, &expected_states);
  HiddenStates states;
  const HostTensor prefilled = model->prefill(0, ids, LogitsRows::ALL, &states);
  EXPECT_LE(largest_difference(prefilled, expected), kFullTolerance);
  ASSERT_EQ(states.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_LE(largest_difference(states[i], expected_states[i]), kFullTolerance) << "hidden state " << i;
  EXPECT_LE(largest_difference(decode_all(*model, ids), expected), kFullTolerance);
}

TEST_P(DecoderModelVariants, DecodeGoesOnWherePrefillEnded) {
  const SmallDecoder small(GetParam().config);
  const auto model = small.load();
  const std::vector<std::int32_t> ids = random_ids(70, 2);
  const HostTensor expected = NaiveDecoder(small).logits(ids);
  for (const std::size_t split : {1U, 31U, 32U, 33U, 69U}) {
    model->begin_sequence(0, 70);
    const HostTensor last = model->prefill(0, std::span(ids).first(split), LogitsRows::LAST, nullptr);
    EXPECT_LE(largest_difference(last, row_of(expected, static_cast<std::int64_t>(split) - 1)), kFullTolerance);
    const HostTensor rest = decode_all(*model, {ids.begin() + static_cast<std::ptrdiff_t>(split), ids.end()},
                                       static_cast<std::int32_t>(split));
    const HostTensor expected_rest{{rest.shape[0], rest.shape[1]},
                                   {expected.data.end() - rest.shape.volume(), expected.data.end()}};
    EXPECT_LE(largest_difference(rest, expected_rest), kFullTolerance) << "split at " << split;
  }
}

class DecoderModelTest : public testing::Test {
 protected:
  SmallDecoder small;
};

TEST_F(DecoderModelTest, LastIsTheLastRowOfAll) {
  const auto model = small.load("accuracy");
  const std::vector<std::int32_t> ids = random_ids(45, 3);
  const HostTensor all = model->prefill(0, ids, LogitsRows::ALL, nullptr);
  EXPECT_EQ(all.shape, (Shape{45, 50}));
  const HostTensor last = model->prefill(0, ids, LogitsRows::LAST, nullptr);
  EXPECT_EQ(last.shape, (Shape{1, 50}));
  EXPECT_EQ(bits_of(last), bits_of(row_of(all, 44)));
}

TEST_F(DecoderModelTest, APromptReplacesWhatTheCacheHeld) {
  const auto model = small.load("accuracy");
  const std::vector<std::int32_t> ids = random_ids(20, 4);
  const HostTensor fresh = model->prefill(0, ids, LogitsRows::ALL, nullptr);
  const HostTensor next = model->decode({{7}}, {{20}}, nullptr);
  model->prefill(0, random_ids(90, 5), LogitsRows::LAST, nullptr);
  EXPECT_EQ(bits_of(model->prefill(0, ids, LogitsRows::ALL, nullptr)), bits_of(fresh));
  EXPECT_EQ(bits_of(model->decode({{7}}, {{20}}, nullptr)), bits_of(next));
}

TEST_F(DecoderModelTest, DecodeGivesHiddenStatesOfEachUser) {
  const auto model = small.load("full", 3);
  HiddenStates expected;
  NaiveDecoder(small).logits({9}, &expected);
  HiddenStates states(7); // replaced
  model->decode({{4, 9, 30}}, {{0, 0, 0}}, &states);
  ASSERT_EQ(states.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(states[i].shape, (Shape{3, 48}));
    EXPECT_LE(largest_difference(row_of(states[i], 1), expected[i]), kFullTolerance);
  }
}

TEST_F(DecoderModelTest, BFloat16WeightsAreKeptAsStoredInFullPrecision) {
  const SmallDecoder halves(small_config(), checkpoint::StorageType::BF16);
  const auto model = halves.load();
  const std::vector<std::int32_t> ids = random_ids(40, 6);
  EXPECT_LE(largest_difference(model->prefill(0, ids, LogitsRows::ALL, nullptr), NaiveDecoder(halves).logits(ids)),
            kFullTolerance);
  const std::int64_t weights = model->device().allocator(BufferType::DRAM).usage().used_by_kind[0];
  const auto wide = small.load();
  EXPECT_LT(weights, wide->device().allocator(BufferType::DRAM).usage().used_by_kind[0]);
}

TEST_F(DecoderModelTest, EveryPresetComesCloseToFullPrecision) {
  // A format with m significant bits is off by some 2^-m of each weight; errors of 48 to 72 weights add up at random
  // and pass through 15 products: the bounds are three to five times what that gives for logits of deviation 1.
  const std::vector<std::int32_t> ids = random_ids(40, 7);
  const HostTensor full = small.load()->prefill(0, ids, LogitsRows::ALL, nullptr);
  const auto root_mean_square = [&](const std::string& preset) {
    const HostTensor logits = small.load(preset)->prefill(0, ids, LogitsRows::ALL, nullptr);
    double squares = 0;
    for (std::size_t i = 0; i < full.data.size(); ++i) {
      const double difference = double{logits.data[i]} - full.data[i];
      squares += difference * difference;
    }
    return std::sqrt(squares / static_cast<double>(full.data.size()));
  };
  const double bf16 = root_mean_square("bf16");
  const double bfp8 = root_mean_square("bfp8");
  const double bfp4 = root_mean_square("bfp4");
  EXPECT_GT(bf16, 0.0);
  EXPECT_LT(bf16, 0.05);
  EXPECT_LT(bfp8, 0.1);
  EXPECT_LT(bfp4, 1.0);
  EXPECT_LT(bf16, bfp8);
  EXPECT_LT(bfp8, bfp4);
}

TEST_F(DecoderModelTest, BlockFormatActivationsRun) {
  const auto path = small.folder().write("p.json", R"({"base": "bfp8", "activation": "bfp8"})");
  const auto model = small.load(path.string());
  const std::vector<std::int32_t> ids = random_ids(40, 7);
  const HostTensor prefilled = model->prefill(0, ids, LogitsRows::ALL, nullptr);
  const HostTensor full = small.load()->prefill(0, ids, LogitsRows::ALL, nullptr);
  EXPECT_LT(largest_difference(prefilled, full), 1.0); // logits reach 5
  EXPECT_LT(largest_difference(decode_all(*model, ids), full), 1.0);
}

TEST_F(DecoderModelTest, GivesTheSameBitsWithOneThreadAndTwo) {
  for (const char* preset : {"full", "accuracy"}) {
    std::vector<std::vector<std::uint32_t>> results;
    for (const int threads : {1, 2}) {
      const auto model = small.load(preset, 2, {.threads = threads});
      model->prefill(1, random_ids(50, 9), LogitsRows::LAST, nullptr);
      std::vector<std::uint32_t> bits = bits_of(model->prefill(0, random_ids(70, 8), LogitsRows::ALL, nullptr));
      const std::vector<std::uint32_t> step = bits_of(model->decode({{3, 4}}, {{70, 50}}, nullptr));
      bits.insert(bits.end(), step.begin(), step.end());
      results.push_back(bits);
    }
    EXPECT_EQ(results[0], results[1]) << preset;
  }
}

TEST_F(DecoderModelTest, EveryChipOfAMeshHoldsTheSameLogits) {
  const auto model = small.load("accuracy", 1, {.board = board("n300")});
  const tensor::Tensor logits = model->forward_prefill(0, random_ids(35, 10), LogitsRows::ALL);
  EXPECT_EQ(bits_of(to_host(logits, 0)), bits_of(to_host(logits, 1)));
}

TEST_F(DecoderModelTest, TellsAboutItself) {
  const auto model = small.load("full", 4);
  const CausalLMInfo& info = model->info();
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.layers, 2);
  EXPECT_EQ(info.hidden_size, 48);
  EXPECT_EQ(info.vocab_size, 50);
  EXPECT_EQ(info.attention_width, 48);
  EXPECT_EQ(info.context, 96);
  EXPECT_EQ(info.max_users, 4);
}

TEST_F(DecoderModelTest, ReportsProgressLayerByLayer) {
  const auto device = runtime::MeshDevice::open();
  const WeightLoader weights(*device, small.checkpoint(), true, DataType::FLOAT32);
  std::vector<std::pair<std::int64_t, std::int64_t>> seen;
  const DecoderModel model(
      device, small.config(), {}, weights,
      {.precision = make_precision("full", {}), .context = 32, .progress = [&](std::int64_t done, std::int64_t total) {
         seen.emplace_back(done, total);
       }});
  EXPECT_THAT(seen, ElementsAre(std::pair(1, 2), std::pair(2, 2)));
}

TEST_F(DecoderModelTest, LeavesNoActivationBehind) {
  const auto model = small.load("accuracy", 2);
  const auto activations = [&](BufferType type) { return model->device().allocator(type).usage().used_by_kind[2]; };
  model->prefill(0, random_ids(40, 1), LogitsRows::ALL, nullptr);
  model->decode({{1, 2}}, {{40, 0}}, nullptr);
  model->device().synchronize();
  EXPECT_EQ(activations(BufferType::DRAM), 0);
  EXPECT_EQ(activations(BufferType::L1), 0);
  EXPECT_GT(model->device().allocator(BufferType::L1).usage().peak_bytes, 0);
}

TEST_F(DecoderModelTest, ContextNeedNotFillABlock) {
  const auto model = small.load("full", 2, {}, 45);
  const std::vector<std::int32_t> ids = random_ids(45, 11);
  const HostTensor expected = NaiveDecoder(small).logits(ids);
  EXPECT_LE(largest_difference(model->prefill(1, ids, LogitsRows::ALL, nullptr), expected), kFullTolerance);
  EXPECT_THAT([&] { model->prefill(0, random_ids(46, 1), LogitsRows::LAST, nullptr); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("at most 45 tokens is possible with this context; "
                                                             "received 46; raise --context")));
  EXPECT_THAT([&] { model->decode({{1}}, {{45}}, nullptr); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("positions must be in 0..44 (-1: idle); received 45")));
}

TEST_F(DecoderModelTest, RefusesWhatIsOutOfRange) {
  const auto model = small.load("accuracy", 2);
  const auto prefill = [&](std::int64_t user, std::vector<std::int32_t> ids) {
    return [&model, user, ids = std::move(ids)] { model->prefill(user, ids, LogitsRows::LAST, nullptr); };
  };
  const auto decode = [&](std::vector<std::int32_t> ids, std::vector<std::int32_t> positions) {
    return [&model, ids = std::move(ids), positions = std::move(positions)] { model->decode(ids, positions, nullptr); };
  };
  using base::InvalidArgument;
  EXPECT_THAT(prefill(0, {1, 50}),
              ThrowsMessage<InvalidArgument>(HasSubstr("token ids must be in 0..49; received 50")));
  EXPECT_THAT(prefill(0, {-1}), ThrowsMessage<InvalidArgument>(HasSubstr("received -1")));
  EXPECT_THAT(prefill(0, {}), ThrowsMessage<InvalidArgument>(HasSubstr("[prefill] a prompt of one token or more")));
  EXPECT_THAT(prefill(2, {1}), ThrowsMessage<InvalidArgument>(HasSubstr("[prefill] user must be in 0..1; received 2")));
  EXPECT_THAT(prefill(-1, {1}), ThrowsMessage<InvalidArgument>(HasSubstr("received -1")));
  EXPECT_THAT(prefill(0, random_ids(97, 1)), ThrowsMessage<InvalidArgument>(HasSubstr("at most 96 tokens")));
  EXPECT_THAT(decode({50}, {0}), ThrowsMessage<InvalidArgument>(HasSubstr("token ids must be in 0..49; received 50")));
  EXPECT_THAT(decode({1}, {96}), ThrowsMessage<InvalidArgument>(HasSubstr("positions must be in 0..95")));
  EXPECT_THAT(decode({1}, {-2}), ThrowsMessage<InvalidArgument>(HasSubstr("received -2")));
  EXPECT_THAT(decode({}, {}),
              ThrowsMessage<InvalidArgument>(HasSubstr("[decode] 1 to 2 users are possible; received 0")));
  EXPECT_THAT(decode({1, 2, 3}, {0, 0, 0}), ThrowsMessage<InvalidArgument>(HasSubstr("received 3")));
  EXPECT_THAT(decode({1, 2}, {0}), ThrowsMessage<InvalidArgument>(HasSubstr("as many ids as positions")));
  EXPECT_NO_THROW(decode({1, 999}, {0, -1})()); // an idle user's id is ignored
}

TEST_F(DecoderModelTest, RefusesImpossibleOptions) {
  EXPECT_THAT([&] { small.load("full", 0); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("[load] 1 to 32 users are possible")));
  EXPECT_THAT([&] { small.load("full", -5); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("received -5")));
  EXPECT_THAT([&] { small.load("full", 33); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("received 33")));
  EXPECT_THAT([&] { small.load("full", 1, {}, 0); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("[load] a context of 1 position or more is required")));
  DecoderConfig config = small.config();
  config.sliding_window.pop_back();
  EXPECT_THAT([&] { plan(config, "full", 1); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("for each of 2 layers is required; received 1")));
}

TEST_F(DecoderModelTest, NamesATensorThatIsMissingOrMisshapen) {
  const auto device = runtime::MeshDevice::open();
  const WeightLoader weights(*device, small.checkpoint(), true, DataType::FLOAT32);
  const auto load = [&](const DecoderConfig& config) {
    DecoderModel(device, config, {}, weights, {.precision = make_precision("full", {}), .context = 32});
  };
  DecoderConfig deeper = small.config();
  deeper.layers = 3;
  deeper.sliding_window.push_back(0);
  EXPECT_THAT([&] { load(deeper); }, ThrowsMessage<base::IoError>(HasSubstr("model.layers.2.")));
  DecoderConfig wider = small.config();
  wider.intermediate_size = 80;
  EXPECT_THAT([&] { load(wider); },
              ThrowsMessage<base::IoError>(testing::AllOf(HasSubstr("model.layers.0.mlp.gate_proj.weight"),
                                                          HasSubstr("[80, 48]"), HasSubstr("[72, 48]"))));
}

} // namespace
} // namespace tessera::nn
