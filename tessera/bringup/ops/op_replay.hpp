#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "tessera/bringup/ops/op_case.hpp"
#include "tessera/ops/op.hpp"
#include "tessera/spec/op_attributes.hpp"

namespace tessera::bringup {

/// A case's op on a device: its inputs, uploaded bit for bit, by the names that the record gives them. All lie in DRAM,
/// interleaved: where a tensor lies changes no result.
class OpCall : public OpAttributes {
 public:
  OpCall(runtime::MeshDevice& device, const OpCase& op);

  runtime::MeshDevice& device() const { return device_; }
  /// An undefined tensor where the op got none.
  tensor::Tensor input(std::string_view name) const;
  std::vector<tensor::Tensor> inputs(std::string_view name) const;
  TensorSpec output(std::size_t number = 0) const;
  /// A tensor of zeros for an op that writes into one.
  tensor::Tensor output_tensor(std::size_t number = 0) const;
  /// The record's math_fidelity, fp32_dest_acc_en and packer_l1_acc.
  ComputeConfig compute() const;

 private:
  runtime::MeshDevice& device_;
  std::vector<tensor::Tensor> inputs_;
};

/// Calls the op; gives its outputs in the order of the record's.
using OpFunction = std::function<std::vector<tensor::Tensor>(const OpCall&)>;

/// The op of this name. Throws InvalidArgument for one that cannot be called from its record.
OpFunction function_of(std::string_view op);

/// Runs a case's op again, from its inputs, and gives the case with the outputs of now. `function`: another op in its
/// place; none: its own. Throws InvalidArgument unless the device's mesh is the case's.
OpCase run_again(runtime::MeshDevice& device, const OpCase& op, const OpFunction& function = {});

/// The board that a case ran on, with its mesh. Throws InvalidArgument for a board that is not built in.
BoardSpec board_of(const OpCase& op);

} // namespace tessera::bringup
