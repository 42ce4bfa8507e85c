#include "tessera/bringup/checkpoint_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/nearest_names.hpp"

namespace tessera::bringup {
namespace {

Row problem(std::string module, std::string note, std::string advice) {
  return {.module = std::move(module), .passed = false, .advice = std::move(advice), .notes = {std::move(note)}};
}

/// Row for a stored tensor that the config ties to `embedding`, when their values differ.
void check_tied(const checkpoint::TensorView& tensor, const checkpoint::TensorView& embedding, std::vector<Row>& rows) {
  if (std::equal(tensor.data.begin(), tensor.data.end(), embedding.data.begin(), embedding.data.end())) return;
  rows.push_back(problem(tensor.name, fmt::format("the config ties it to {}, but its values differ", embedding.name),
                         "set tie_word_embeddings to false if the stored tensor is meant"));
}

void check_one(const checkpoint::Checkpoint& checkpoint, const nn::TensorExpectation& expected,
               std::vector<Row>& rows) {
  if (!checkpoint.contains(expected.name)) {
    if (expected.optional) return;
    const auto nearest = checkpoint::nearest_names(expected.name, checkpoint.tensor_names(), 1);
    rows.push_back(problem(
        expected.name,
        fmt::format("missing: the config asks for it with shape {}", checkpoint::shape_to_string(expected.shape)),
        nearest.empty() ? "download the weights anew"
                        : fmt::format("check the weight mapping: the nearest name in the checkpoint "
                                      "is {}; or a shard is missing",
                                      nearest.front())));
    return;
  }
  if (expected.buffer) return;
  const checkpoint::TensorView& tensor = checkpoint.tensor(expected.name);
  if (tensor.shape != expected.shape) {
    rows.push_back(problem(
        expected.name,
        fmt::format("misshapen: the config asks for {}; the checkpoint has {}",
                    checkpoint::shape_to_string(expected.shape), checkpoint::shape_to_string(tensor.shape)),
        "correct the key of config.json that gives this dimension, or take the weights that belong to the config"));
  } else if (!checkpoint::is_floating_point(tensor.dtype)) {
    rows.push_back(problem(expected.name, fmt::format("must be floating point; received {}", to_string(tensor.dtype)),
                           "quantized weights are not read: take the checkpoint in BF16, F16 or F32"));
  }
}

} // namespace

std::vector<Row> check_tensors(const checkpoint::Checkpoint& checkpoint,
                               const std::vector<nn::TensorExpectation>& expectations) {
  std::vector<Row> rows;
  std::set<std::string> known;
  for (const nn::TensorExpectation& expected : expectations) {
    known.insert(expected.name);
    check_one(checkpoint, expected, rows);
    const nn::TensorExpectation& embedding = expectations.front();
    const bool tied = expected.optional && expected.shape == embedding.shape;
    if (tied && checkpoint.contains(expected.name) && checkpoint.contains(embedding.name)) {
      check_tied(checkpoint.tensor(expected.name), checkpoint.tensor(embedding.name), rows);
    }
  }
  const std::vector<std::string> names = checkpoint.tensor_names();
  for (const std::string& name : names) {
    if (known.contains(name)) continue;
    rows.push_back(problem(name, "unused: no part of the model reads it",
                           "check num_hidden_layers, the bias switches and the architecture in config.json"));
  }
  if (rows.empty()) {
    rows.push_back({.module = "tensors", .figures = {{"count", static_cast<double>(names.size()), {}}}});
  }
  return rows;
}

Row check_special_ids(const checkpoint::Checkpoint& checkpoint, std::int64_t vocab_size) {
  Row row{.module = "special ids"};
  const auto check = [&](const nlohmann::json& config, const std::string& file) {
    const checkpoint::ConfigReader reader(config, file);
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      // Some published configs write -1 for "none".
      for (const std::int64_t id : reader.integers(key, {.min = -1})) {
        if (id < vocab_size) continue;
        row.passed = false;
        row.notes.push_back(
            fmt::format("{} in {} must be below vocab_size {}; received {}", key, file, vocab_size, id));
        row.advice = fmt::format("correct {} or vocab_size", key);
      }
    }
  };
  check(checkpoint.config(), "config.json");
  check(checkpoint.generation_config(), "generation_config.json");
  return row;
}

Row check_dimensions(const nn::CausalLMInfo& device, const nn::CausalLMInfo& reference) {
  Row row{.module = "dimensions"};
  const auto check = [&](const char* name, std::int64_t on_device, std::int64_t in_reference) {
    if (on_device == in_reference) return;
    row.passed = false;
    row.notes.push_back(fmt::format("{} is {} on the device and {} in the reference", name, on_device, in_reference));
    row.advice = fmt::format("check how the family reads {} from config.json", name);
  };
  check("layers", device.layers, reference.layers);
  check("hidden_size", device.hidden_size, reference.hidden_size);
  check("vocab_size", device.vocab_size, reference.vocab_size);
  check("attention_width", device.attention_width, reference.attention_width);
  return row;
}

} // namespace tessera::bringup
