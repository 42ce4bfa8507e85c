#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/bringup.hpp"
#include "tessera/nn/vision/image_classifier.hpp"

namespace tessera::bringup {

/// The device's model in another form: by traces, on more chips.
struct VisionForm {
  std::string stage; ///< "trace-and-queues", "data-parallel" or "tensor-parallel"
  std::string name;  ///< "traced, two queues", "dp 8", "tp 2"
  /// Logits of pixel_values.
  std::function<nn::HostTensor(const nn::HostTensor&)> run;
  bool same_bits = true; ///< as the model itself gives; else it is judged against the reference, as that was
};

/// What is brought up, and against what. Everything must outlive the run.
struct VisionInputs {
  nn::ImageClassifier& device;
  nn::ImageClassifier& reference;
  nn::HostTensor pixel_values;        ///< [N, C, H, W]; the module stages take the first two
  std::vector<std::int64_t> labels{}; ///< what the images show, where that is known: accuracy is reported too
  std::string image_source{};         ///< for the report
  std::vector<VisionForm> forms{};
};

struct VisionOptions {
  std::vector<std::string> stages; ///< names; empty: all
  std::string precision = "accuracy";
  std::string board = "n150";
  std::filesystem::path report_folder; ///< as in Options
};

/// Takes an image classifier through the guide: baseline, operators, blocks, full-model, top-1-agreement,
/// trace-and-queues, data-parallel, tensor-parallel. As run for language models: a stage that fails does not keep the
/// next from running. Throws InvalidArgument for unknown stage names and for no images.
Report run_vision(const VisionInputs& inputs, const VisionOptions& options, Progress& progress);

/// Names of the stages, in order.
std::vector<std::string> vision_stage_names();

} // namespace tessera::bringup
