// One model code, several ways to run it: the records of a forward pass by preset and by mode.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tessera/base/error.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Not;

class Keeper : public runtime::QueueObserver {
 public:
  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun&) override {
    records.push_back(record);
  }
  std::vector<OpRecord> records;
};

/// The records of a prefill of 40 tokens and of a decode step of two users.
std::vector<OpRecord> records_of(DecoderModel& model) {
  Keeper keeper;
  model.device().add_observer(keeper);
  model.forward_prefill(0, random_ids(40, 1), LogitsRows::LAST);
  model.forward_decode({{1, 2}}, {{40, 0}});
  model.device().synchronize();
  model.device().remove_observer(keeper);
  return keeper.records;
}

/// A record without formats: what must be the same in every preset.
std::string without_formats(const OpRecord& record) {
  std::string text = fmt::format("{} in {}", record.name, record.scope);
  const auto add = [&text](const std::vector<OperandRecord>& operands) {
    for (const OperandRecord& operand : operands) {
      text += fmt::format("; {} {} {} {}", operand.name, operand.spec.shape, to_string(operand.spec.layout),
                          to_string(operand.spec.memory_config));
    }
  };
  add(record.inputs);
  text += " ->";
  add(record.outputs);
  for (const auto& [name, value] : record.attributes) {
    // What follows from the weight's format, or is a preset's choice of arithmetic.
    if (name == "math_fidelity" || name == "fp32_dest_acc_en" || name == "packer_l1_acc") continue;
    text += fmt::format("; {} ", name);
    std::visit([&](const auto& held) { text += fmt::format("{}", held); }, value);
  }
  return text + fmt::format("; {} {}", record.work.matmul_flops, record.work.vector_flops);
}
std::vector<std::string> without_formats(const std::vector<OpRecord>& records) {
  std::vector<std::string> texts;
  for (const OpRecord& record : records) texts.push_back(without_formats(record));
  return texts;
}

std::set<DataType> weight_formats(const std::vector<OpRecord>& records) {
  std::set<DataType> formats;
  for (const OpRecord& record : records) {
    if (record.name == "linear") formats.insert(record.inputs.at(1).spec.dtype);
  }
  return formats;
}

TEST(PrecisionPresets, RunTheSameOpsAndDifferInFormatsOnly) {
  DecoderConfig config = small_config_with_biases();
  config.stored_dtype = DataType::FLOAT32;
  const std::vector<OpRecord> full = records_of(*plan(config, "full", 2));
  for (const char* preset : {"bf16", "bfp8", "bfp4", "accuracy", "performance"}) {
    const std::vector<OpRecord> other = records_of(*plan(config, preset, 2));
    EXPECT_EQ(without_formats(other), without_formats(full)) << preset;
    EXPECT_NE(weight_formats(other), weight_formats(full)) << preset;
  }
  EXPECT_EQ(weight_formats(full), std::set{DataType::FLOAT32});
}

TEST(PrecisionPresets, RunTheSameOpsOnRealWeightsToo) {
  const SmallDecoder small;
  const std::vector<OpRecord> full = records_of(*small.load("full", 2));
  const std::vector<OpRecord> accuracy = records_of(*small.load("accuracy", 2));
  EXPECT_EQ(without_formats(accuracy), without_formats(full));
  EXPECT_EQ(weight_formats(accuracy), std::set{DataType::BFLOAT8_B});
}

TEST(RecordMode, GivesTheRecordsAndAddressesOfExecuteMode) {
  const SmallDecoder small;
  const std::vector<OpRecord> executed = records_of(*small.load("accuracy", 2));
  const std::vector<OpRecord> recorded = records_of(*plan(small.config(), "accuracy", 2));
  EXPECT_EQ(without_formats(recorded), without_formats(executed));
  ASSERT_EQ(recorded.size(), executed.size());
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    const auto expect_operands = [&](const auto& a, const auto& b) {
      for (std::size_t j = 0; j < a.size(); ++j) {
        EXPECT_EQ(a[j].spec, b[j].spec) << recorded[i].name;
        EXPECT_EQ(a[j].address, b[j].address) << recorded[i].name << " " << a[j].name;
      }
    };
    expect_operands(recorded[i].inputs, executed[i].inputs);
    expect_operands(recorded[i].outputs, executed[i].outputs);
    EXPECT_EQ(recorded[i].work.dram_read_bytes, executed[i].work.dram_read_bytes) << recorded[i].name;
  }
}

TEST(RecordMode, ScopesNameTheModules) {
  const std::vector<OpRecord> records = records_of(*plan(small_config(), "full", 2));
  std::vector<std::string> places;
  for (const OpRecord& record : records) places.push_back(fmt::format("{}/{}", record.scope, record.name));
  EXPECT_THAT(places, AllOf(Contains("embedding/embedding"), Contains("layers.0.input_norm/rms_norm"),
                            Contains("layers.0.attention/scaled_dot_product_attention"),
                            Contains("layers.1.attention/paged_scaled_dot_product_attention_decode"),
                            Contains("layers.1.attention/paged_fill_cache"),
                            Contains("layers.1.post_attention_norm/rms_norm"), Contains("layers.1.mlp/linear"),
                            Contains("layers.0/add"), Contains("lm_head/linear"), Not(Contains("/linear"))));
}

/// What L1 holds while ops of a kind run in a place.
class L1Keeper : public runtime::QueueObserver {
 public:
  L1Keeper(std::string place, std::string op) : place_(std::move(place)), op_(std::move(op)) {}
  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun&) override {
    if (record.scope != place_ || record.name != op_) return;
    held.emplace_back();
    for (const auto& [address, allocation] : device.allocator(BufferType::L1).allocations())
      held.back().push_back(allocation.label.name);
  }
  std::vector<std::vector<std::string>> held;

 private:
  std::string place_;
  std::string op_;
};

/// The same for a decode step of two users.
std::vector<std::vector<std::string>> held_in_decode(const DecoderConfig& config, const std::string& place,
                                                     const std::string& op) {
  const auto model = plan(config, "accuracy", 2);
  L1Keeper keeper(place, op);
  model->device().add_observer(keeper);
  model->forward_decode({{1, 2}}, {{0, 0}});
  model->device().synchronize();
  model->device().remove_observer(keeper);
  return keeper.held;
}

TEST(RecordMode, AnMlpRunsBesideItsInputAndTheResidualAlone) {
  for (const DecoderConfig& config : {small_config(), capped_config()}) {
    const auto held = held_in_decode(config, "layers.1.mlp", "linear");
    ASSERT_EQ(held.size(), 3U);
    for (const auto& names : held) {
      EXPECT_THAT(names, Contains("layers.1.post_attention_norm.rms_norm"));
      EXPECT_THAT(names, Not(Contains(testing::HasSubstr("input_norm"))));
      EXPECT_THAT(names, Not(Contains(testing::HasSubstr("attention."))));
      EXPECT_THAT(names, Not(Contains(testing::HasSubstr("attention_output_norm"))));
    }
    EXPECT_THAT(held.back(), testing::Contains("layers.1.mlp.linear").Times(1)); // w2's, without gate and up
  }
}

TEST(RecordMode, ExpertsFreeGateAndUpBeforeTheLastProduct) {
  const auto held = held_in_decode(experts_config(), "layers.1.mlp", "grouped_linear");
  ASSERT_EQ(held.size(), 3U);
  EXPECT_THAT(held[1], testing::Contains("layers.1.mlp.grouped_linear").Times(2));
  EXPECT_THAT(held[2], testing::Contains("layers.1.mlp.grouped_linear").Times(1));
}

TEST(RecordMode, DecodeKeepsItsActivationsInL1AndPrefillInDram) {
  const auto model = plan(small_config(), "accuracy", 2);
  const auto places = [&](auto&& forward) {
    Keeper keeper;
    model->device().add_observer(keeper);
    forward();
    model->device().remove_observer(keeper);
    std::vector<BufferType> types;
    for (const OpRecord& record : keeper.records) {
      // Not the logits, which go to the host, nor caches and what comes from the host.
      const bool activation = record.scope != "lm_head" && record.name != "from_host" &&
                              !record.name.starts_with("paged_update") && !record.name.starts_with("paged_fill");
      if (activation) types.push_back(record.outputs.at(0).spec.memory_config.buffer_type);
    }
    return types;
  };
  EXPECT_THAT(places([&] {
                model->forward_decode({{1, 2}}, {{40, 0}});
              }),
              AllOf(Not(testing::IsEmpty()), Each(BufferType::L1)));
  EXPECT_THAT(places([&] { model->forward_prefill(0, random_ids(40, 1), LogitsRows::ALL); }),
              AllOf(Not(testing::IsEmpty()), Each(BufferType::DRAM)));
}

/// The places of a decode step's outputs, by op.
std::map<std::string, std::set<std::string>> decode_places(const DecoderConfig& config, std::int64_t users) {
  const auto model = plan(config, "accuracy", users);
  Keeper keeper;
  model->device().add_observer(keeper);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(users));
  model->forward_decode(ids, ids);
  model->device().remove_observer(keeper);
  std::map<std::string, std::set<std::string>> places;
  for (const OpRecord& record : keeper.records)
    places[record.scope == "lm_head" ? "lm_head" : record.name].insert(
        to_string(record.outputs.at(0).spec.memory_config));
  return places;
}

TEST(RecordMode, DecodeShardsItsActivationsAsTheCardDoes) {
  DecoderConfig config = small_config();
  config.hidden_size = 2048;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.intermediate_size = 8192;
  const auto places = decode_places(config, 12);
  const std::set<std::string> residual{"L1 WIDTH_SHARDED 32x64 on 4x8 cores"};
  const std::set<std::string> of_users{"L1 HEIGHT_SHARDED 32x64 on 2x8 cores"};
  EXPECT_EQ(places.at("rms_norm"), residual);
  EXPECT_EQ(places.at("add"), residual);
  EXPECT_EQ(places.at("embedding"), (std::set<std::string>{*residual.begin(), *of_users.begin()}));
  EXPECT_EQ(places.at("mul"), std::set<std::string>{"L1 WIDTH_SHARDED 32x256 on 4x8 cores"});
  EXPECT_EQ(places.at("nlp_create_qkv_heads_decode"), of_users);
  EXPECT_EQ(places.at("rotary_embedding_llama"), of_users);
  EXPECT_EQ(places.at("paged_scaled_dot_product_attention_decode"), of_users);
  EXPECT_EQ(places.at("nlp_concat_heads_decode"), residual);
  EXPECT_EQ(places.at("lm_head"), std::set<std::string>{"DRAM INTERLEAVED"});
}

TEST(RecordMode, DecodeNeedsNoCopyBetweenPlaces) {
  for (const auto& [op, of_op] : decode_places(small_config(), 2)) {
    EXPECT_THAT(op, Not(testing::HasSubstr("shard")));
    EXPECT_NE(op, "to_memory_config");
  }
}

/// A model of 8 B parameters in the dimensions of Llama 3.1.
DecoderConfig llama_8b() {
  return {.family = "llama",
          .vocab_size = 128256,
          .hidden_size = 4096,
          .intermediate_size = 14336,
          .layers = 32,
          .heads = 32,
          .kv_heads = 8,
          .head_dim = 128,
          .max_positions = 131072,
          .sliding_window = std::vector<std::int64_t>(32, 0)};
}

TEST(Planning, WeightsAndCacheTakeWhatTheTileFormatsSay) {
  const auto model = plan(llama_8b(), "bfp8", 1, 2048);
  const auto& usage = model->device().allocator(BufferType::DRAM).usage();
  // Every element in BFLOAT8_B but the embedding in BFLOAT16; norms are small. Rotary tables come on top.
  const double embedding = 128256.0 * 4096;
  const double weights = (static_cast<double>(llama_8b().parameters()) - embedding) * 1088 / 1024 + embedding * 2;
  EXPECT_NEAR(static_cast<double>(usage.used_by_kind[0]), weights, 0.02 * weights);
  const double cache = 2.0 * 32 * 8 * 2048 * 128 * 2;
  EXPECT_NEAR(static_cast<double>(usage.used_by_kind[1]), cache, 0.02 * cache);
}

TEST(Planning, EightBillionParametersFitOneCardInBfp8ButNotInBf16) {
  const auto model = plan(llama_8b(), "bfp8", 8, 2048);
  const std::vector<std::int32_t> ids(8, 1);
  const std::vector<std::int32_t> positions(8, 2047);
  EXPECT_NO_THROW(model->forward_decode(ids, positions));
  EXPECT_NO_THROW(model->forward_prefill(0, std::vector<std::int32_t>(2048, 1), LogitsRows::LAST));
  EXPECT_THAT([] { plan(llama_8b(), "bf16", 1, 2048); },
              testing::ThrowsMessage<base::OutOfMemory>(AllOf(testing::HasSubstr("layers."), testing::HasSubstr("n150"),
                                                              testing::HasSubstr("held by: weights"),
                                                              testing::HasSubstr("--precision bfp8"))));
}

} // namespace
} // namespace tessera::nn
