#include "tessera/bringup/file_reference.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/generate/forward.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using checkpoint::StorageType;
using testing::Fault;
using testing::FaultyModel;
using testing::TemporaryFolder;
using testing::TinyModel;

/// Collects tensors and writes them as a baseline file, as another framework would.
class BaselineFile {
 public:
  void add(const std::string& name, const tensor::HostTensor& values) { floats_[name] = values; }
  void add(const std::string& name, const std::vector<Ids>& rows) {
    auto& flat = ids_[name];
    for (const Ids& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    shapes_[name] = {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.front().size())};
  }
  void remove(const std::string& prefix) {
    std::erase_if(floats_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
    ids_.erase(prefix);
  }
  std::filesystem::path write(const std::filesystem::path& folder) const {
    std::vector<checkpoint::OutputTensor> tensors;
    for (const auto& [name, flat] : ids_) {
      tensors.push_back({name, StorageType::I64, shapes_.at(name), std::as_bytes(std::span(flat))});
    }
    for (const auto& [name, values] : floats_) {
      const auto extents = values.shape.extents();
      tensors.push_back(
          {name, StorageType::F32, {extents.begin(), extents.end()}, std::as_bytes(std::span(values.data))});
    }
    checkpoint::write_safetensors(folder / "golden.safetensors", tensors);
    return folder / "golden.safetensors";
  }

 private:
  std::map<std::string, tensor::HostTensor> floats_;
  std::map<std::string, std::vector<std::int64_t>> ids_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

constexpr std::int64_t kPrompt = 5;

/// The baseline of the tiny model, in the golden files' naming.
BaselineFile tiny_baseline() {
  TinyModel model;
  BaselineFile file;
  const std::vector<Ids> texts{{1, 5, 2, 9, 30, 3, 3, 8, 0, 31}, {4, 4, 7, 1, 12, 25, 19, 6, 2, 11}};
  const auto output = generate::stack(generate::forward(model, texts, {.hidden_states = true}));
  file.add("input_ids", texts);
  file.add("logits", output.logits);
  for (std::size_t i = 0; i < output.hidden_states.size(); ++i) {
    file.add(fmt::format("hidden_states.{}", i), output.hidden_states[i]);
  }
  const auto module = [&](const char* name, const tensor::HostTensor& x) {
    return model.run_module(name, x, nn::Phase::PREFILL);
  };
  const auto norm = module("layers.2.input_norm", output.hidden_states[2]);
  file.add("model.layers.2.input_layernorm", norm);
  file.add("model.layers.2.self_attn", module("layers.2.attention", norm));
  file.add("final_norm", module("final_norm", output.hidden_states[3]));

  std::vector<Ids> prompts;
  std::vector<Ids> continuations;
  for (const Ids& text : texts) {
    prompts.emplace_back(text.begin(), text.begin() + kPrompt);
    LiveReference live([] { return std::make_unique<TinyModel>(); }, ResultCache({}, ""), texts);
    continuations.push_back(*live.continuation(prompts.back(), 6));
  }
  std::vector<generate::SequenceOutput> generated;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Ids fed = prompts[i];
    fed.insert(fed.end(), continuations[i].begin(), continuations[i].end() - 1);
    auto whole = generate::forward(model, std::span(&fed, 1))[0];
    whole.logits = {{6, 32}, {whole.logits.data.end() - 6 * 32, whole.logits.data.end()}};
    generated.push_back(std::move(whole));
  }
  file.add("gen_prompt_ids", prompts);
  file.add("gen_ids", continuations);
  file.add("gen_logits", generate::stack(std::move(generated)).logits);
  return file;
}

Report run_against(FileReference& reference, nn::CausalLM& device, const Options& options = {}) {
  Progress silent;
  return run({.device = device, .reference = reference, .material = reference.material(), .identity = "tiny"}, options,
             silent);
}

std::vector<std::string> modules_of(const StageResult& stage) {
  std::vector<std::string> names;
  for (const Row& row : stage.rows) names.push_back(row.module);
  return names;
}

TEST(FileReference, JudgesEveryStageOfACompleteFile) {
  TemporaryFolder folder;
  FileReference reference(tiny_baseline().write(folder.path()));
  TinyModel device({.bfloat16_weights = true});
  const Report report = run_against(reference, device);
  EXPECT_TRUE(report.passed()) << to_table(report);
  for (const StageResult& stage : report.stages) {
    // A model on the host has no traces and no other chips.
    const bool on_cards_alone =
        stage.name == "trace-and-queues" || stage.name == "data-parallel" || stage.name == "tensor-parallel";
    const Verdict expected = on_cards_alone ? Verdict::SKIPPED : Verdict::PASSED;
    EXPECT_EQ(stage.verdict, expected) << stage.name << ": " << stage.message;
  }
  EXPECT_EQ(modules_of(report.stages[1]), (std::vector<std::string>{"embedding", "layers.2.input_norm",
                                                                    "layers.2.attention", "final_norm", "lm_head"}));
  EXPECT_EQ(modules_of(report.stages[2]), (std::vector<std::string>{"layers.0", "layers.1", "layers.2"}));
}

TEST(FileReference, SkipsWhatAFileCannotJudge) {
  TemporaryFolder folder;
  BaselineFile file = tiny_baseline();
  file.remove("hidden_states.");
  file.remove("gen_logits");
  FileReference reference(file.write(folder.path()));
  TinyModel device;
  const Report report = run_against(reference, device);
  std::map<std::string, Verdict> verdicts;
  for (const StageResult& stage : report.stages) verdicts[stage.name] = stage.verdict;
  for (const char* skipped :
       {"decode-modules", "decoder-layer", "full-decode", "decode-as-prefill", "prefill-modules", "generation"}) {
    EXPECT_EQ(verdicts[skipped], Verdict::SKIPPED) << skipped;
  }
  for (const char* judged : {"baseline", "full-model", "teacher-forcing"})
    EXPECT_EQ(verdicts[judged], Verdict::PASSED) << judged;
  EXPECT_EQ(report.stages[3].message, "file golden.safetensors has no hidden_states.N for the text with 3 layers");
  EXPECT_TRUE(report.passed());
}

/// A file of one layer whose modules have these names, each with values of its own.
BaselineFile one_layer(const std::vector<std::string>& modules) {
  BaselineFile file;
  file.add("input_ids", std::vector<Ids>{{1, 2}});
  float value = 1.0F;
  const auto add = [&](const std::string& name) {
    file.add(name, {{1, 2, 2}, std::vector<float>(4, value)});
    value *= 2.0F;
  };
  for (const char* name : {"logits", "hidden_states.0", "hidden_states.1"}) add(name); // 1, 2, 4
  for (const std::string& name : modules) add(name);                                   // 8, 16, ...
  return file;
}

TEST(FileReference, KnowsTheModulesOfEachFamilyByTheirNames) {
  struct Names {
    std::vector<std::string> modules;                        // in the order of use
    std::map<std::string, std::pair<float, float>> expected; // of a module of ours: input, output
  };
  const std::string llama = "model.layers.0.";
  const std::string gpt = "transformer.h.0.";
  const std::map<std::string, std::pair<float, float>> two_norms{
      {"input_norm", {2, 8}}, {"attention", {8, 16}}, {"post_attention_norm", {2 + 16, 32}}, {"mlp", {32, 64}}};
  const std::vector<Names> families{
      {{llama + "input_layernorm", llama + "self_attn", llama + "post_attention_layernorm", llama + "mlp"}, two_norms},
      {{llama + "input_layernorm", llama + "self_attn", llama + "post_attention_layernorm", llama + "block_sparse_moe"},
       two_norms},
      {{gpt + "ln_1", gpt + "attn", gpt + "ln_2", gpt + "mlp"}, two_norms},
      {{llama + "input_layernorm", llama + "self_attn", llama + "post_attention_layernorm",
        llama + "pre_feedforward_layernorm", llama + "mlp", llama + "post_feedforward_layernorm"},
       {{"input_norm", {2, 8}},
        {"attention", {8, 16}},
        {"attention_output_norm", {16, 32}},
        {"post_attention_norm", {2 + 32, 64}},
        {"mlp", {64, 128}},
        {"mlp_output_norm", {128, 256}}}}};
  for (const Names& names : families) {
    TemporaryFolder folder;
    FileReference reference(one_layer(names.modules).write(folder.path()));
    for (const auto& [module, values] : names.expected) {
      const ModuleCase* found = reference.module_case("layers.0." + module);
      ASSERT_NE(found, nullptr) << names.modules[1] << " " << module;
      EXPECT_EQ(found->input.data.front(), values.first) << names.modules[1] << " " << module;
      EXPECT_EQ(found->expected.data.front(), values.second) << names.modules[1] << " " << module;
    }
  }
}

TEST(FileReference, SeesFaultsOnTheDevice) {
  TemporaryFolder folder;
  FileReference reference(tiny_baseline().write(folder.path()));
  TinyModel device;
  FaultyModel decode(device, {Fault::Path::DECODE, "layers.1"});
  EXPECT_FALSE(run_against(reference, decode, {.stages = {"full-decode"}}).passed());
  FaultyModel module(device, {Fault::Path::DECODE_MODULE, "layers.2.attention"});
  EXPECT_FALSE(run_against(reference, module, {.stages = {"decode-modules"}}).passed());
  FaultyModel prefill(device, {Fault::Path::PREFILL_LAST, "logits"});
  EXPECT_FALSE(run_against(reference, prefill, {.stages = {"generation"}}).passed());
}

TEST(FileReference, JudgesTheLastPositionsOfALongText) {
  TemporaryFolder folder;
  BaselineFile file = tiny_baseline();
  const Ids text(20, 3);
  TinyModel device;
  auto output = generate::forward(device, std::span(&text, 1))[0];
  output.logits = {{4, 32}, {output.logits.data.end() - 4 * 32, output.logits.data.end()}};
  std::vector<generate::SequenceOutput> outputs;
  outputs.push_back(std::move(output));
  file.add("long_input_ids", std::vector<Ids>{text});
  file.add("long_logits", generate::stack(std::move(outputs)).logits);
  FileReference reference(file.write(folder.path()));
  const Report report = run_against(reference, device, {.stages = {"teacher-forcing"}});
  EXPECT_TRUE(report.passed()) << to_table(report);
  EXPECT_EQ(report.stages[0].rows[0].figures.back().value, 24.0); // 2 x 10 positions and the last 4 of the long text
}

TEST(FileReference, RefusesFilesThatDoNotFit) {
  TemporaryFolder folder;
  BaselineFile file = tiny_baseline();
  file.add("logits", tensor::HostTensor{{2, 9, 32}, std::vector<float>(2 * 9 * 32)});
  EXPECT_THROW(FileReference(file.write(folder.path())), base::InvalidArgument);
  file = tiny_baseline();
  file.add("input_ids", std::vector<Ids>{{1, -5}, {1, 2}});
  EXPECT_THROW(FileReference(file.write(folder.path())), base::InvalidArgument);
  file = tiny_baseline();
  file.remove("logits");
  EXPECT_THROW(FileReference(file.write(folder.path())), base::IoError);
  EXPECT_THROW(FileReference(folder.path() / "absent.safetensors"), base::IoError);
}

} // namespace
} // namespace tessera::bringup
