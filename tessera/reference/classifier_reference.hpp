#pragma once

// Private to the reference: `reference.hpp` is what others use. Shows libtorch.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/classifier/classifier.hpp"

namespace tessera::reference {

/// Classifiers in fp32 on libtorch: a chain of named blocks over images [N, C, H, W] or tokens [N, S, E].
class ClassifierReference : public nn::Classifier {
 public:
  const nn::ClassifierInfo& info() const override { return info_; }
  nn::HostTensor forward(const nn::HostTensor& inputs, nn::Features* features) override;
  const std::vector<nn::ClassifierModule>& modules() const override { return modules_; }
  nn::HostTensor run_module(std::string_view name, const nn::HostTensor& x, const nn::HostTensor& inputs) override;

 protected:
  using Forward = std::function<at::Tensor(const at::Tensor&)>;

  ClassifierReference(const checkpoint::Checkpoint& checkpoint, nn::ClassifierInput input);
  /// Checks the model's inputs and gives what its first block takes; what modules inside look at is kept.
  virtual at::Tensor take(const nn::HostTensor& inputs) = 0;
  void append(std::string name, Forward forward);
  void add_piece(std::string name, std::string input, Forward forward);
  const std::string& latest() const { return latest_; }

  bool has(const std::string& name) const { return checkpoint_.contains(name); }
  /// A weight widened to fp32. Throws IoError when it is absent.
  at::Tensor weight(const std::string& name) const;
  /// x W^T + b by the weights `name`.weight and, where it is there, .bias.
  at::Tensor linear(const at::Tensor& x, const std::string& name) const;
  const checkpoint::Checkpoint& checkpoint() const { return checkpoint_; }

  nn::ClassifierInfo info_;

 private:
  checkpoint::Checkpoint checkpoint_;
  std::vector<nn::ClassifierModule> modules_;
  std::vector<Forward> forwards_;
  std::string latest_;
};

/// An activation by transformers' name for it.
at::Tensor activate(const at::Tensor& x, const std::string& name);
checkpoint::ConfigReader config_of(const checkpoint::Checkpoint& checkpoint);
/// A host tensor with the same extents.
at::Tensor to_torch(const nn::HostTensor& host);

} // namespace tessera::reference
