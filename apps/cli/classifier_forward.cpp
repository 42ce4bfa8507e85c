#include "apps/cli/classifier_forward.hpp"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_inputs.hpp"
#include "apps/cli/op_listing.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

/// What a feature is called in the file: the tokens of a text as those of a language model, the rest by its block.
std::string output_name(const nn::ClassifierInfo& info, const std::string& block, const tensor::HostTensor& feature,
                        int& sequences) {
  const bool is_sequence = info.input == nn::ClassifierInput::TEXTS && feature.shape.rank() == 3;
  return is_sequence ? fmt::format("hidden_states.{}", sequences++) : block;
}

void write_output(const std::string& path, const nn::Classifier& model, const tensor::HostTensor& logits,
                  const nn::Features& features) {
  std::vector<checkpoint::OutputTensor> tensors;
  const auto add = [&](const std::string& name, const tensor::HostTensor& tensor) {
    const auto extents = tensor.shape.extents();
    tensors.push_back(
        {.name = name, .shape = {extents.begin(), extents.end()}, .data = std::as_bytes(std::span(tensor.data))});
  };
  add("logits", logits);
  int sequences = 0;
  for (const nn::ClassifierModule& module : model.modules()) {
    const auto feature = features.find(module.name);
    if (feature == features.end()) continue;
    add(output_name(model.info(), module.name, feature->second, sequences), feature->second);
  }
  checkpoint::write_safetensors(path, tensors);
}

} // namespace

int forward_classifier(const ClassifierForwardOptions& options, const checkpoint::Checkpoint& checkpoint,
                       const JsonOutput& json) {
  const auto file = checkpoint::SafeTensors::open(options.input);
  const auto kind = models::classifier_family_of(checkpoint)->input;
  const tensor::HostTensor inputs = read_classifier_inputs(file, kind, options.input);
  std::optional<ClassifierOnBoard> opened;
  std::unique_ptr<nn::Classifier> reference;
  std::optional<OpListing> listing;
  if (options.reference) {
    reference = reference::open_classifier(checkpoint, options.model.threads);
  } else {
    opened.emplace(open_classifier(options.model, checkpoint, inputs.shape[0]));
    if (json.wanted()) listing.emplace(*opened->mesh);
  }
  nn::Classifier& model = opened ? static_cast<nn::Classifier&>(*opened->model) : *reference;
  nn::Features features;
  const auto start = std::chrono::steady_clock::now();
  const tensor::HostTensor logits = model.forward(inputs, options.features ? &features : nullptr);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_output(options.output, model, logits, features);

  const char* const items = kind == nn::ClassifierInput::IMAGES ? "images" : "texts";
  nlohmann::json report{{"checkpoint", options.checkpoint},
                        {"mode", options.reference ? "reference" : "device"},
                        {items, inputs.shape[0]},
                        {"output", options.output},
                        {"host_time_ns", static_cast<std::int64_t>(seconds * 1e9)}};
  if (!options.reference) {
    report["board"] = options.model.board;
    report["precision"] = options.model.precision;
    report["numerics"] = options.model.numerics;
    report["dp"] = opened->model->copies();
    report["tp"] = opened->model->tensor_parallel();
  }
  if (listing) {
    listing->finish_step();
    report["ops"] = listing->take();
  }
  json.write(report);
  write_note(fmt::format("{} {} in {:.3f} s (measured on this host); {} written", inputs.shape[0], items, seconds,
                         options.output));
  return 0;
}

} // namespace tessera::cli
