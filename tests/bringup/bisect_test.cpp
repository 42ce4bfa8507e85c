// Faults planted in what the device reads, or in what it does: bisect names the module and the layer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tessera/base/error.hpp"
#include "tessera/bringup/bisect/bisect.hpp"
#include "tessera/bringup/bisect/chain.hpp"
#include "tessera/bringup/bisect/report.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::bringup::bisect {
namespace {

using nn::DecoderConfig;
using nn::SmallDecoder;
using ::testing::HasSubstr;
using Weights = std::map<std::string, HostTensor>;

/// The weights of a small decoder in a folder of their own, after `alter` has changed them.
class Altered {
 public:
  Altered(const SmallDecoder& right, const std::function<void(Weights&)>& alter) : config_(right.config()) {
    folder_.write("config.json", R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})");
    Weights weights;
    for (const nn::TensorExpectation& tensor : expected_tensors(config_, nn::DecoderNames())) {
      if (!tensor.optional) weights[tensor.name] = right.weight(tensor.name);
    }
    alter(weights);
    std::vector<checkpoint::OutputTensor> tensors;
    for (const auto& [name, values] : weights) {
      const auto extents = values.shape.extents();
      tensors.push_back({name,
                         checkpoint::StorageType::F32,
                         {extents.begin(), extents.end()},
                         std::as_bytes(std::span(values.data))});
    }
    checkpoint::write_safetensors(folder_.path() / "model.safetensors", tensors);
    checkpoint_ = checkpoint::Checkpoint::open(folder_.path().string());
  }

  DecoderConfig& config() { return config_; }
  /// A preset's name, or the JSON of a precision file.
  std::unique_ptr<nn::CausalLM> load(const nlohmann::json& precision) const {
    const auto mesh = runtime::MeshDevice::open({.threads = 1});
    const nn::Precision formats = this->precision(precision);
    const nn::WeightLoader weights(*mesh, checkpoint_, formats.weights_as_stored, DataType::FLOAT32);
    return std::make_unique<nn::DecoderModel>(
        mesh, config_, nn::DecoderNames(), weights,
        nn::DecoderModel::Options{.precision = formats, .context = 96, .max_users = 2});
  }
  nn::Precision precision(const nlohmann::json& precision) const {
    const nn::PrecisionSubject subject{
        .family = config_.family, .layers = config_.layers, .parameters = config_.parameters()};
    if (precision.is_string()) return nn::make_precision(precision.get<std::string>(), subject);
    return nn::make_precision(folder_.write("precision.json", precision.dump()).string(), subject);
  }

 private:
  test::TemporaryFolder folder_;
  DecoderConfig config_;
  checkpoint::Checkpoint checkpoint_;
};

/// A model in whose layer 1 other code runs; the whole model is put together from its modules.
class OtherLayer : public nn::CausalLM {
 public:
  using Module =
      std::function<HostTensor(nn::CausalLM& inner, const std::string& name, const HostTensor& x, nn::Phase)>;

  OtherLayer(std::unique_ptr<nn::CausalLM> inner, Module module)
      : inner_(std::move(inner)), module_(std::move(module)), history_(2) {}

  const nn::CausalLMInfo& info() const override { return inner_->info(); }
  HostTensor run_module(std::string_view name, const HostTensor& x, nn::Phase phase) override {
    if (name == "layers.1") return run_layer(modules_of(*this, phase), 1, {}, x);
    if (name.starts_with("layers.1.")) return module_(*inner_, std::string(name), x, phase);
    return inner_->run_module(name, x, phase);
  }
  HostTensor prefill(std::int64_t, std::span<const std::int32_t> ids, nn::LogitsRows,
                     nn::HiddenStates* states) override {
    return forward({ids.begin(), ids.end()}, nn::Phase::PREFILL, states);
  }
  HostTensor decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                    nn::HiddenStates* states) override {
    HostTensor logits{{static_cast<std::int64_t>(ids.size()), info().vocab_size}, {}};
    if (states != nullptr) states->clear();
    for (std::size_t user = 0; user < ids.size(); ++user) {
      Ids& history = history_[user];
      history.resize(static_cast<std::size_t>(positions[user]));
      history.push_back(ids[user]);
      nn::HiddenStates own;
      append_last(logits, forward(history, nn::Phase::DECODE, &own));
      if (states == nullptr) continue;
      states->resize(own.size(), {{static_cast<std::int64_t>(ids.size()), info().hidden_size}, {}});
      for (std::size_t i = 0; i < own.size(); ++i) append_last((*states)[i], own[i]);
    }
    return logits;
  }

 private:
  static void append_last(HostTensor& to, const HostTensor& rows) {
    const auto row = rows.row(rows.shape[0] - 1);
    to.data.insert(to.data.end(), row.begin(), row.end());
  }
  static HostTensor rows(HostTensor x) {
    x.shape = Shape{x.shape[1], x.shape[2]};
    return x;
  }
  HostTensor forward(const Ids& ids, nn::Phase phase, nn::HiddenStates* states) {
    const RunModule run = modules_of(*this, phase);
    HostTensor x = run("embedding", ids_tensor({ids}));
    if (states != nullptr) *states = {rows(x)};
    for (std::int64_t layer = 0; layer < info().layers; ++layer) {
      x = run(fmt::format("layers.{}", layer), x);
      if (states != nullptr) states->push_back(rows(x));
    }
    return rows(run_rest(run, info().layers, info().layers, std::move(x)));
  }

  std::unique_ptr<nn::CausalLM> inner_;
  Module module_;
  std::vector<Ids> history_;
};

using Open = std::function<std::unique_ptr<nn::CausalLM>(const nlohmann::json&)>;

/// What bisect says of a device opened by `open` in `precision`, against the small decoder in full precision.
Result bisect_of(const SmallDecoder& right, const Altered& device, const nlohmann::json& precision, const Open& open,
                 const std::function<std::optional<Router>(std::int64_t)>& router = {}) {
  const auto reference = right.load("full", 2);
  const auto model = open(precision);
  const nlohmann::json file = precision.is_string() ? nlohmann::json{{"base", precision}} : precision;
  return bisect({.device = *model,
                 .reference = *reference,
                 .texts = {nn::random_ids(20, 1), nn::random_ids(20, 2)},
                 .precision = device.precision(precision),
                 .precision_file = file,
                 .open = open,
                 .router = router},
                {});
}

Result bisect_of(const SmallDecoder& right, const Altered& device, const nlohmann::json& precision,
                 const std::function<std::optional<Router>(std::int64_t)>& router = {}) {
  return bisect_of(
      right, device, precision, [&](const nlohmann::json& other) { return device.load(other); }, router);
}

HostTensor transposed(const HostTensor& square) {
  HostTensor result = square;
  const std::int64_t width = square.shape[0];
  for (std::int64_t i = 0; i < width * width; ++i) {
    result.data[static_cast<std::size_t>(i)] = square.data[static_cast<std::size_t>(i % width * width + i / width)];
  }
  return result;
}

const auto kUnchanged = [](Weights&) {};

TEST(Bisect, NamesNoCulpritInAHealthyModel) {
  const SmallDecoder right;
  const Altered device(right, kUnchanged);
  const Result result = bisect_of(right, device, "bf16");
  EXPECT_EQ(result.finding.cause, Cause::NONE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "");
  EXPECT_THAT(result.finding.sentence, HasSubstr("no culprit"));
  EXPECT_TRUE(result.finding.remedy.is_null());
}

TEST(Bisect, FindsNothingToGainInFullPrecision) {
  const SmallDecoder right;
  const Altered device(right, kUnchanged);
  const Result result = bisect_of(right, device, "full");
  EXPECT_EQ(result.finding.cause, Cause::NONE) << to_table(result);
  EXPECT_TRUE(result.swaps.empty());
}

TEST(Bisect, NamesTheAttentionOfATransposedWeight) {
  const SmallDecoder right;
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  const Altered device(right, [&](Weights& weights) { weights[name] = transposed(weights[name]); });
  const Result result = bisect_of(right, device, "bfp8");
  EXPECT_EQ(result.finding.cause, Cause::MODULE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1.attention");
  EXPECT_EQ(result.swaps.front().what.substr(0, 8), "layers.1") << to_table(result);
}

TEST(Bisect, NamesTheMlpOfADroppedBias) {
  const SmallDecoder right(nn::small_config_with_biases());
  const Altered device(right, [](Weights& weights) {
    auto& bias = weights["model.layers.0.mlp.down_proj.bias"].data;
    std::fill(bias.begin(), bias.end(), 0.0F);
  });
  const Result result = bisect_of(right, device, "bfp8");
  EXPECT_EQ(result.finding.cause, Cause::MODULE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.0.mlp");
}

TEST(Bisect, NamesTheExpertsThatWereExchanged) {
  const SmallDecoder right(nn::experts_config());
  const std::string prefix = "model.layers.1.block_sparse_moe.";
  const Altered device(right, [&](Weights& weights) {
    std::swap(weights[prefix + "experts.0.w1.weight"], weights[prefix + "experts.3.w1.weight"]);
  });
  const auto router = [&](std::int64_t layer) -> std::optional<Router> {
    return Router{right.weight(fmt::format("model.layers.{}.block_sparse_moe.gate.weight", layer)), 3};
  };
  const Result result = bisect_of(right, device, "bf16", router);
  EXPECT_EQ(result.finding.cause, Cause::MODULE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1.mlp");
  EXPECT_THAT(result.finding.sentence, HasSubstr("experts 0, 3"));
}

TEST(Bisect, NamesTheRotaryEmbeddingOfOneLayer) {
  const SmallDecoder right;
  const Altered device(right, kUnchanged);
  Altered other_base(right, kUnchanged);
  other_base.config().rope.theta = 300.0;
  const Result result = bisect_of(right, device, "bf16", [&](const nlohmann::json& precision) {
    const std::shared_ptr<nn::CausalLM> other = other_base.load(precision);
    return std::make_unique<OtherLayer>(device.load(precision), [other](nn::CausalLM& inner, const std::string& name,
                                                                        const HostTensor& x, nn::Phase phase) {
      const bool turns = name.ends_with("rope") || name.ends_with("attention");
      return (turns ? *other : inner).run_module(name, x, phase);
    });
  });
  EXPECT_EQ(result.finding.cause, Cause::MODULE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1.rope");
}

TEST(Bisect, NamesTheLayerAndThePositionOfAStaleCache) {
  const SmallDecoder right;
  const Altered device(right, kUnchanged);
  constexpr std::int64_t kStale = 9; // holds the token before it
  const auto attention = [](nn::CausalLM& inner, const std::string& name, const HostTensor& x, nn::Phase phase) {
    HostTensor y = inner.run_module(name, x, phase);
    if (!name.ends_with("attention") || phase == nn::Phase::PREFILL || x.shape[1] <= kStale) return y;
    const std::int64_t width = x.shape[2];
    HostTensor stale = x;
    for (std::int64_t text = 0; text < x.shape[0]; ++text) {
      const auto row = stale.data.begin() + (text * x.shape[1] + kStale) * width;
      std::copy_n(row - width, width, row);
    }
    const HostTensor later = inner.run_module(name, stale, phase);
    for (std::int64_t text = 0; text < x.shape[0]; ++text) {
      for (std::int64_t i = (kStale + 1) * width; i < x.shape[1] * width; ++i) {
        const auto at = static_cast<std::size_t>(text * x.shape[1] * width + i);
        y.data[at] = later.data[at];
      }
    }
    return y;
  };
  const Result result = bisect_of(right, device, "bf16", [&](const nlohmann::json& precision) {
    return std::make_unique<OtherLayer>(device.load(precision), attention);
  });
  EXPECT_EQ(result.finding.cause, Cause::DECODE) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1.attention");
  EXPECT_THAT(result.finding.sentence, HasSubstr("from position 10 on"));
}

TEST(Bisect, NamesTheTensorGroupAndLayerOfBfp4AndMendsIt) {
  const SmallDecoder right;
  const Altered device(right, kUnchanged);
  const nlohmann::json precision{{"base", "bf16"}, {"layers", {{"1", {{"ff1_3", "bfp4"}}}}}};
  const Result result = bisect_of(right, device, precision);
  EXPECT_EQ(result.finding.cause, Cause::PRECISION) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "ff1_3 of layer 1");
  EXPECT_THAT(result.finding.sentence, HasSubstr("layers.1.mlp"));
  ASSERT_TRUE(result.finding.remedy.is_object());
  EXPECT_EQ(result.finding.remedy["layers"]["1"]["ff1_3"], "bfp8");
  const Result mended = bisect_of(right, device, result.finding.remedy);
  EXPECT_LT(mended.decode.kl_divergence, 0.5 * result.decode.kl_divergence);
}

/// `router` [X, E] with little left of what tells the rows of x [.., E] apart: their errors then decide.
void make_near_ties(HostTensor& router, const HostTensor& x) {
  const auto width = static_cast<std::size_t>(x.shape[-1]);
  const auto take_out = [width](std::vector<double>& v, const std::vector<double>& unit) {
    double product = 0.0;
    for (std::size_t i = 0; i < width; ++i) product += v[i] * unit[i];
    for (std::size_t i = 0; i < width; ++i) v[i] -= product * unit[i];
  };
  std::vector<std::vector<double>> basis; // of the rows, by Gram and Schmidt
  for (std::int64_t r = 0; r < x.shape.volume() / x.shape[-1]; ++r) {
    std::vector<double> row(x.row(r).begin(), x.row(r).end());
    for (const auto& unit : basis) take_out(row, unit);
    double squares = 0.0;
    for (const double value : row) squares += value * value;
    if (squares < 1e-6) continue;
    for (double& value : row) value /= std::sqrt(squares);
    basis.push_back(std::move(row));
  }
  for (std::int64_t expert = 0; expert < router.shape[0]; ++expert) {
    std::vector<double> row(router.row(expert).begin(), router.row(expert).end());
    for (const auto& unit : basis) take_out(row, unit);
    for (std::size_t i = 0; i < width; ++i) {
      float& weight = router.data[static_cast<std::size_t>(expert) * width + i];
      weight = static_cast<float>(row[i] + 0.01 * weight);
    }
  }
}

TEST(Bisect, CallsARouterOfNearTiesAnAmplifier) {
  const std::string gate = "model.layers.1.block_sparse_moe.gate.weight";
  const std::vector<Ids> texts{nn::random_ids(20, 1), nn::random_ids(20, 2)};
  const SmallDecoder decoder(nn::experts_config());
  Trace trace;
  const auto original = decoder.load("full", 2);
  const RunModule run = modules_of(*original);
  run_chain(tracing(run, trace), 2, {}, ids_tensor(texts));
  HostTensor router = decoder.weight(gate);
  make_near_ties(router, trace.at("layers.1.mlp").input);
  const Altered device(decoder, [&](Weights& weights) { weights[gate] = router; });
  const auto reference = device.load("full");
  const nlohmann::json precision{{"base", "bfp8"}, {"activation", "f32"}, {"norm", "f32"}, {"embedding", "f32"}};
  const auto model = device.load(precision);
  const Result result = bisect({.device = *model,
                                .reference = *reference,
                                .texts = texts,
                                .precision = device.precision(precision),
                                .precision_file = precision,
                                .open = [&](const nlohmann::json& other) { return device.load(other); },
                                .router = [&](std::int64_t layer) -> std::optional<Router> {
                                  if (layer != 1) return std::nullopt;
                                  return Router{router, 3};
                                }},
                               {});
  EXPECT_EQ(result.finding.cause, Cause::AMPLIFIER) << to_table(result);
  EXPECT_EQ(result.finding.culprit, "layers.1.mlp");
  EXPECT_THAT(result.finding.sentence, HasSubstr("router"));
  ASSERT_EQ(result.flips.size(), 1U);
  EXPECT_GT(result.flips[0].flipped, 0);
}

TEST(Bisect, TakesParallelLayersAndOutputNorms) {
  for (const DecoderConfig& config : {nn::parallel_config(true), nn::parallel_config(false), nn::capped_config()}) {
    const SmallDecoder right(config);
    const auto model = right.load("bf16", 2);
    const auto reference = right.load("full", 2);
    const Result result =
        bisect({.device = *model, .reference = *reference, .texts = {nn::random_ids(12, 1)}}, {.decode_positions = 4});
    EXPECT_EQ(result.finding.cause, Cause::NONE) << to_table(result);
  }
}

TEST(BisectReport, DrawsEveryModule) {
  Result result{.numerics = "native", .precision = "a<b"};
  ModuleErrors module{.module = "layers.0.mlp"};
  module.local_prefill =
      metrics::TensorComparison{.pcc = 0.999, .max_abs_error = 0.1, .relative_frobenius_error = 0.04};
  result.modules.push_back(module);
  const std::string svg = to_svg(result);
  EXPECT_THAT(svg, HasSubstr("layers.0.mlp"));
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_EQ(to_json(result)["modules"][0]["local_decode"], nullptr);
}

TEST(BisectTexts, MustHoldTwoTokens) {
  const SmallDecoder right;
  const auto model = right.load("full", 1);
  const Inputs inputs{.device = *model, .reference = *model, .texts = {{3}}};
  EXPECT_THROW(bisect(inputs, {}), base::InvalidArgument);
}

} // namespace
} // namespace tessera::bringup::bisect
