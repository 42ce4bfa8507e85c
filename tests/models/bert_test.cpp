// BERT on the device against the reference, which reads config.json by itself.

#include "tessera/models/bert/bert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/load.hpp"
#include "tessera/nn/classifier/batch_stream.hpp"
#include "tessera/nn/classifier/text_rows.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/models/small_bert.hpp"

namespace tessera::models {
namespace {

using tensor::HostTensor;
using test::SmallBert;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr double kFullTolerance = 1e-4;

/// Texts of so many tokens, the second half of each of type 1.
std::vector<nn::TextTokens> texts_of(const std::vector<int>& lengths, std::int32_t vocabulary = 30) {
  std::mt19937 random(5);
  std::vector<nn::TextTokens> texts;
  for (const int length : lengths) {
    nn::TextTokens& text = texts.emplace_back();
    for (int i = 0; i < length; ++i) {
      text.ids.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(vocabulary)));
      text.types.push_back(2 * i >= length ? 1 : 0);
    }
  }
  return texts;
}

HostTensor inputs_of(const std::vector<int>& lengths) {
  return nn::pack_texts(texts_of(lengths), 0);
}

class Bert : public testing::Test {
 protected:
  checkpoint::Checkpoint write(const SmallBert& bert = {}) const {
    test::small_bert(bert).write(folder_.path());
    folder_.write("config.json", test::config_of(bert).dump());
    return open_classifier_checkpoint(folder_.path().string());
  }
  std::unique_ptr<nn::ClassifierModel> load(const checkpoint::Checkpoint& checkpoint,
                                            const std::string& precision = "full", std::int64_t chips = 1,
                                            int queues = 1) const {
    BoardSpec spec = board("t3000");
    spec.mesh_rows = 1;
    spec.mesh_columns = chips;
    return load_classifier(runtime::MeshDevice::open({.board = spec, .threads = 2, .command_queues = queues}),
                           checkpoint, {.precision = precision});
  }

  test::TemporaryFolder folder_;
};

TEST_F(Bert, EveryModuleAgreesWithTheReference) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const SmallBert berts[] = {{},
                             {.prefix = ""},
                             {.old_norms = true},
                             {.types = 1, .classes = 1},
                             {.config = {{"hidden_act", "gelu_new"}, {"layer_norm_eps", 1e-3}}},
                             {.config = {{"hidden_act", "relu"}, {"position_embedding_type", "absolute"}}}};
  for (std::size_t i = 0; i < std::size(berts); ++i) {
    SCOPED_TRACE(fmt::format("number {}", i));
    const auto checkpoint = write(berts[i]);
    const auto device = load(checkpoint);
    const auto reference = reference::open_classifier(checkpoint);
    std::vector<nn::TextTokens> texts = texts_of({37, 70, 1});
    for (nn::TextTokens& text : texts) {
      if (berts[i].types == 1) text.types.assign(text.ids.size(), 0);
    }
    const HostTensor inputs = nn::pack_texts(texts, 0);
    nn::Features expected;
    nn::Features actual;
    const HostTensor logits = reference->forward(inputs, &expected);
    const HostTensor ours = device->forward(inputs, &actual);
    EXPECT_EQ(ours.shape, (Shape{3, berts[i].classes}));
    EXPECT_LE(metrics::max_abs_error(logits.data, ours.data), kFullTolerance);
    for (const nn::ClassifierModule& module : reference->modules()) {
      const HostTensor& input = expected.at(module.input);
      const HostTensor output = reference->run_module(module.name, input, inputs);
      EXPECT_LE(metrics::relative_frobenius_error(output.data, device->run_module(module.name, input, inputs).data),
                1e-5)
          << module.name;
      if (module.is_block) {
        EXPECT_EQ(expected.at(module.name).data, output.data) << module.name;
        EXPECT_EQ(actual.at(module.name).shape, output.shape) << module.name;
      }
      expected.emplace(module.name, output);
    }
    ASSERT_EQ(device->modules().size(), reference->modules().size());
    for (std::size_t m = 0; m < device->modules().size(); ++m) {
      EXPECT_EQ(device->modules()[m].name, reference->modules()[m].name);
      EXPECT_EQ(device->modules()[m].input, reference->modules()[m].input);
    }
  }
}

TEST_F(Bert, AccuracyCorrelatesWithTheReference) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const auto checkpoint = write();
  const HostTensor inputs = inputs_of({37, 70, 1, 12, 50, 64, 33, 20});
  const HostTensor expected = reference::open_classifier(checkpoint)->forward(inputs, nullptr);
  EXPECT_GE(metrics::pcc(expected.data, load(checkpoint, "accuracy")->forward(inputs, nullptr).data), 0.99);
}

TEST_F(Bert, PaddingChangesNoBitOfTheLogits) {
  const auto checkpoint = write();
  for (const char* precision : {"full", "bf16"}) {
    const auto model = load(checkpoint, precision);
    const HostTensor together = model->forward(inputs_of({9, 70, 33}), nullptr);
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto alone = std::vector{texts_of({9, 70, 33})[static_cast<std::size_t>(i)]};
      const HostTensor logits = model->forward(nn::pack_texts(alone, 7), nullptr);
      for (std::int64_t c = 0; c < 3; ++c)
        EXPECT_EQ(together.row(i)[static_cast<std::size_t>(c)], logits.data[static_cast<std::size_t>(c)]) << precision;
    }
  }
}

TEST_F(Bert, TokensLookAtWhatTheMaskKeepsAlone) {
  const auto model = load(write());
  HostTensor inputs = inputs_of({20});
  const auto at = [&](std::int64_t row, std::int64_t token) -> float& {
    return inputs.data[static_cast<std::size_t>(row * 20 + token)];
  };
  for (const std::int64_t token : {4, 11}) at(nn::kMaskRow, token) = 0.0F;
  const HostTensor masked = model->forward(inputs, nullptr);
  at(nn::kIdsRow, 4) = 3.0F;
  at(nn::kTypesRow, 11) = 0.0F;
  EXPECT_EQ(model->forward(inputs, nullptr).data, masked.data);
  at(nn::kIdsRow, 5) = std::fmod(at(nn::kIdsRow, 5) + 1.0F, 30.0F);
  EXPECT_NE(model->forward(inputs, nullptr).data, masked.data);
}

TEST_F(Bert, ATextOfPaddingAloneAttendsToAllAlikeAsTheReferenceDoes) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const auto checkpoint = write();
  HostTensor inputs = inputs_of({40});
  std::fill_n(inputs.data.begin() + 40, 40, 0.0F);
  const HostTensor expected = reference::open_classifier(checkpoint)->forward(inputs, nullptr);
  EXPECT_LE(metrics::max_abs_error(expected.data, load(checkpoint)->forward(inputs, nullptr).data), kFullTolerance);
  EXPECT_LE(metrics::max_abs_error(expected.data, load(checkpoint, "bf16")->forward(inputs, nullptr).data), 0.2);
}

TEST_F(Bert, TracesQueuesAndCopiesGiveTheBitsOfTheForwardPass) {
  const auto checkpoint = write();
  std::vector<HostTensor> batches;
  std::vector<HostTensor> expected;
  const auto plain = load(checkpoint, "bf16");
  for (int i = 0; i < 5; ++i) {
    batches.push_back(inputs_of({40, 7 + i, 33}));
    expected.push_back(plain->forward(batches.back(), nullptr));
  }
  for (const std::int64_t chips : {1, 2}) {
    for (const int queues : {1, 2}) {
      const auto model = load(checkpoint, "bf16", chips, queues);
      EXPECT_EQ(model->forward(batches[0], nullptr).data, expected[0].data);
      nn::BatchStream stream(*model, batches[0].shape, {.trace = true});
      std::vector<HostTensor> actual;
      for (const HostTensor& batch : batches) {
        stream.submit(batch);
        if (queues == 1 || stream.depth() == 1) actual.push_back(stream.next());
      }
      while (actual.size() < batches.size()) actual.push_back(stream.next());
      for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_EQ(actual[i].data, expected[i].data) << chips << queues;
    }
  }
}

TEST_F(Bert, ChipsThatShareTheLayersGiveWhatOneChipGives) {
  const auto checkpoint = write();
  const HostTensor inputs = inputs_of({37, 70, 1});
  const HostTensor expected = load(checkpoint)->forward(inputs, nullptr);
  for (const auto& [copies, chips] : {std::pair{1, 2}, {1, 4}, {2, 2}}) {
    BoardSpec mesh = board("t3000");
    mesh.mesh_rows = copies;
    mesh.mesh_columns = chips;
    const auto model = load_classifier(runtime::MeshDevice::open({.board = mesh, .threads = 2}), checkpoint,
                                       {.precision = "full", .tensor_parallel = chips});
    EXPECT_EQ(model->copies(), copies);
    EXPECT_LE(metrics::max_abs_error(expected.data, model->forward(inputs, nullptr).data), 1e-5);
  }
}

TEST_F(Bert, CountsParametersAndWorkOfBertBase) {
  const auto path = std::filesystem::path(TESSERA_SOURCE_DIR) / "configs" / "bert-base-uncased.json";
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const auto model = load_classifier(device, checkpoint::Checkpoint::open_config(path.string()), {.random_seed = 1});
  EXPECT_EQ(model->info().parameters, 109'483'778); // transformers' count with two classes
  // 85 M weights of the layers at each of 128 tokens, and two products of 12 layers for each pair of them.
  EXPECT_NEAR(static_cast<double>(model->info().flops(128)), 2.0 * (128 * 84.93e6 + 12 * 2 * 128 * 128 * 768), 2e7);
}

TEST_F(Bert, SaysWhatIsWrong) {
  const auto expect = [&](const nlohmann::json& config, const std::string& text) {
    const auto checkpoint = write({.config = config});
    EXPECT_THAT([&] { load(checkpoint); }, ThrowsMessage<base::Error>(HasSubstr(text)));
  };
  expect({{"position_embedding_type", "relative_key"}}, "position_embedding_type absolute of a bert is built");
  expect({{"hidden_act", "silu"}}, "hidden_act gelu, gelu_new, gelu_pytorch_tanh and relu of a bert are built");
  expect({{"is_decoder", true}}, "is_decoder of a bert must be false");
  expect({{"num_attention_heads", 3}}, "num_attention_heads must be a divisor of hidden_size, 40");
  expect({{"num_labels", 4}}, "classifier.weight must have the shape [4, 40]");
  expect({{"architectures", {"BertForTokenClassification"}}}, "architectures of BertForSequenceClassification");
  const auto pretrained = write({.config = {{"architectures", {"BertForMaskedLM"}}}});
  EXPECT_THAT(
      [&] { configure(pretrained); },
      ThrowsMessage<base::Unsupported>(HasSubstr(
          "of bert checkpoints BertForSequenceClassification is built, a classifier; received BertForMaskedLM")));
  const auto checkpoint = write();
  const auto model = load(checkpoint);
  const auto refuses = [&](const HostTensor& inputs, const std::string& text) {
    EXPECT_THAT([&] { model->forward(inputs, nullptr); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(text)));
  };
  refuses(inputs_of({71}), "texts of at most 70 tokens (max_position_embeddings) are possible; received 71");
  HostTensor inputs = inputs_of({3});
  inputs.data[1] = 30.0F;
  refuses(inputs, "input_ids must be whole numbers in 0..29; received 30 in text 0");
  inputs.data[1] = 2.0F;
  inputs.data[4] = 2.0F;
  refuses(inputs, "attention_mask must be whole numbers in 0..1");
  inputs.data[4] = 1.0F;
  inputs.data[8] = 2.0F;
  refuses(inputs, "token_type_ids must be whole numbers in 0..1");
  refuses({{1, 2, 3}, std::vector<float>(6)}, "texts must be [N, 3, S]");
  EXPECT_THAT([&] { configure(checkpoint); },
              ThrowsMessage<base::Unsupported>(HasSubstr("BertForSequenceClassification is a classifier")));
}

TEST_F(Bert, MissingTensorsAreNamed) {
  auto tensors = test::small_bert({});
  tensors.erase("bert.pooler.dense.weight");
  tensors.write(folder_.path());
  folder_.write("config.json", test::config_of({}).dump());
  EXPECT_THAT([&] { load(open_classifier_checkpoint(folder_.path().string())); },
              ThrowsMessage<base::IoError>(HasSubstr("bert.pooler.dense.weight")));
}

TEST_F(Bert, ReadsConfigurations) {
  const auto configure = [](const std::string& keys) {
    const auto json = nlohmann::json::parse("{" + keys + "}");
    return configure_bert(checkpoint::ConfigReader(json));
  };
  // The defaults are those of transformers' BertConfig: BERT base, uncased.
  const nn::BertConfig plain = configure("");
  EXPECT_EQ(plain.layers, 12);
  EXPECT_EQ(plain.vocab_size, 30522);
  EXPECT_EQ(plain.max_positions, 512);
  EXPECT_EQ(plain.encoder.mlp_hidden, 3072);
  EXPECT_EQ(plain.encoder.norm_eps, 1e-12F);
  EXPECT_EQ(plain.classes, 2);
  EXPECT_EQ(configure(R"("id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": null)").classes, 3);
}

TEST_F(Bert, ProblemsAreThoseOfTransformersPipelines) {
  const auto problem = [&](const nlohmann::json& config, std::int64_t classes) {
    folder_.write("config.json", config.dump());
    return problem_of(checkpoint::Checkpoint::open_config(folder_.path().string()), classes);
  };
  EXPECT_EQ(problem({{"problem_type", nullptr}}, 2), Problem::SINGLE_LABEL);
  EXPECT_EQ(problem({{"problem_type", nullptr}}, 1), Problem::MULTI_LABEL);
  EXPECT_EQ(problem({{"problem_type", "multi_label_classification"}}, 3), Problem::MULTI_LABEL);
  EXPECT_EQ(problem({{"problem_type", "regression"}}, 1), Problem::REGRESSION);
  EXPECT_THAT(
      [&] {
        problem({{"problem_type", "guess"}}, 1);
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("problem_type must be single_label_classification")));
}

} // namespace
} // namespace tessera::models
