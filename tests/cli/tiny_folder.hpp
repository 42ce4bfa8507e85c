#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "tessera/checkpoint/safetensors.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/cli/program.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::test {

/// A checkpoint of two small layers with random weights (vocabulary 50, 64 positions), and room for files beside it.
class TinyFolder {
 public:
  explicit TinyFolder(const nlohmann::json& changes = nlohmann::json::object(),
                      const std::function<void(TinyWeights&)>& alter = {}) {
    const nlohmann::json config = tiny_config(changes);
    TinyWeights weights = tiny_weights(config);
    if (alter) alter(weights);
    write_tiny_checkpoint(folder_, config, weights);
  }

  std::string path() const { return folder_.path().string(); }
  std::string file(const std::string& name) const { return (folder_.path() / name).string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const {
    return folder_.write(name, content).string();
  }
  /// Writes `input_ids` and returns the file's path.
  std::string write_ids(const std::string& name, const std::vector<std::int64_t>& shape,
                        const std::vector<std::int64_t>& ids) const {
    const checkpoint::OutputTensor tensor{"input_ids", checkpoint::StorageType::I64, shape,
                                          std::as_bytes(std::span(ids))};
    checkpoint::write_safetensors(file(name), {&tensor, 1});
    return file(name);
  }

 private:
  TemporaryFolder folder_;
};

/// A checkpoint with a weight that is no number.
inline TinyFolder folder_with_nan() {
  return TinyFolder(nlohmann::json::object(), [](TinyWeights& weights) {
    weights.at("model.layers.0.mlp.down_proj.weight").values[7] = std::numeric_limits<float>::quiet_NaN();
  });
}

/// A tokenizer.json of Llama 2's kind: <s> 0, </s> 1, the bytes 2..257, then "▁", "a", "b", "▁a", "ab".
inline std::string small_tokenizer() {
  nlohmann::json vocab{{"<s>", 0}, {"</s>", 1}};
  constexpr const char* kHex = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    vocab[std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">"] = byte + 2;
  }
  for (const char* token : {"▁", "a", "b", "▁a", "ab"}) vocab[token] = vocab.size();
  nlohmann::json tokenizer = nlohmann::json::parse(R"({
    "added_tokens": [{"id": 0, "content": "<s>", "special": true}, {"id": 1, "content": "</s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                   {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
  })");
  tokenizer["model"] = {
      {"type", "BPE"}, {"vocab", vocab}, {"merges", {"▁ a", "a b"}}, {"byte_fallback", true}, {"fuse_unk", true}};
  return tokenizer.dump();
}

/// Largest absolute difference of two tensors of one shape; infinite when a value is not finite or shapes differ.
inline double max_difference(const checkpoint::TensorView& expected, const checkpoint::TensorView& actual) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (expected.shape != actual.shape) return kInfinity;
  const std::vector<float> a = checkpoint::to_float(expected);
  const std::vector<float> b = checkpoint::to_float(actual);
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = std::isfinite(difference) ? difference : kInfinity;
  }
  return largest;
}

/// The report of `--json` on standard output; fails the test when the run failed.
inline nlohmann::json report_of(const ProgramRun& run) {
  EXPECT_EQ(run.exit_code, 0) << run.error;
  const nlohmann::json report = nlohmann::json::parse(run.output, nullptr, false);
  EXPECT_FALSE(report.is_discarded()) << run.output;
  return report;
}

} // namespace tessera::test
