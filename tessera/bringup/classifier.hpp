#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bringup/bringup.hpp"
#include "tessera/bringup/sharding.hpp"
#include "tessera/nn/classifier/classifier.hpp"

namespace tessera::bringup {

/// The device's model in another form: by traces, on more chips.
struct ClassifierForm {
  std::string stage; ///< "trace-and-queues", "data-parallel" or "tensor-parallel"
  std::string name;  ///< "traced, two queues", "dp 8", "tp 2"
  /// Logits of the inputs.
  std::function<nn::HostTensor(const nn::HostTensor&)> run;
  bool same_bits = true;   ///< as the model itself gives; else it is judged against the reference, as that was
  ShardingForm sharding{}; ///< how it lies on the board, for the report's page; no name: as the model itself
};

/// What is brought up, and against what. Everything must outlive the run.
struct ClassifierInputs {
  nn::Classifier& device;
  nn::Classifier& reference;
  nn::HostTensor items;               ///< nn::Classifier's inputs; the module stages take the first two
  std::vector<std::int64_t> labels{}; ///< of the items, where they are known: accuracy is reported too
  std::string source{};               ///< of the items, for the report
  std::string name{};                 ///< of the checkpoint, as the user called it, for the report
  std::vector<ClassifierForm> forms{};
  std::vector<runtime::MeshDevice*> devices{}; ///< of `device`: the module stages say whether each fits L1
};

struct ClassifierOptions {
  std::vector<std::string> stages; ///< names; empty: all
  std::string precision = "accuracy";
  std::string board = "n150";
  std::filesystem::path report_folder; ///< as in Options
};

/// Takes a classifier through the guide: baseline, operators, blocks, full-model, top-1-agreement,
/// trace-and-queues, data-parallel, tensor-parallel. As run for language models: a stage that fails does not keep the
/// next from running. Throws InvalidArgument for unknown stage names and for no items.
Report run_classifier(const ClassifierInputs& inputs, const ClassifierOptions& options, Progress& progress);

/// Names of the stages, in order.
std::vector<std::string> classifier_stage_names();

} // namespace tessera::bringup
