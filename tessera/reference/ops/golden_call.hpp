#pragma once

// Private to the golden functions: what they read a request with.

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/reference/ops/golden_op.hpp"
#include "tessera/spec/op_attributes.hpp"

namespace tessera::reference {

/// A request as golden functions see it: operands by their names, as libtorch's tensors in double precision (integers:
/// int32). What is not there throws InvalidArgument that names op and operand or attribute.
class GoldenCall : public OpAttributes {
 public:
  explicit GoldenCall(const GoldenRequest& request) : OpAttributes(request.record), request_(request) {}

  const TensorSpec& output(std::size_t number = 0) const;
  bool has(std::string_view operand) const;
  at::Tensor input(std::string_view operand) const { return input(operand, request_.chip); }
  at::Tensor input(std::string_view operand, std::int64_t chip) const;
  /// All inputs of one name.
  std::vector<at::Tensor> inputs(std::string_view operand) const;
  std::span<const std::int32_t> integers(std::string_view operand) const;

  std::int64_t chip() const { return request_.chip; }
  std::int64_t chips() const { return request_.mesh_rows * request_.mesh_columns; }
  std::int64_t mesh_columns() const { return request_.mesh_columns; }

 private:
  const OperandValues& values(std::string_view operand, std::int64_t chip) const;
  [[noreturn]] void refuse(std::string_view kind, std::string_view name) const;

  const GoldenRequest& request_;
};

/// An output of the record's shape `spec`, from values in double precision or int32.
GoldenOutput golden_output(const TensorSpec& spec, const at::Tensor& values);
/// x, or the function of it that a record names: NONE, SILU, GELU, GELU_TANH, RELU.
at::Tensor activated(const at::Tensor& x, const std::string& activation);

using GoldenOutputs = std::vector<GoldenOutput>;
using GoldenFunction = GoldenOutputs (*)(const GoldenCall&);
struct GoldenEntry {
  std::string_view op;
  GoldenFunction function;
  bool collective = false;
};

// The entries of each file.
std::span<const GoldenEntry> matmul_goldens();
std::span<const GoldenEntry> eltwise_goldens();
std::span<const GoldenEntry> norm_goldens();
std::span<const GoldenEntry> movement_goldens();
std::span<const GoldenEntry> attention_goldens();
std::span<const GoldenEntry> cache_goldens();
std::span<const GoldenEntry> routing_goldens();
std::span<const GoldenEntry> sampling_goldens();
std::span<const GoldenEntry> image_goldens();
std::span<const GoldenEntry> collective_goldens();

} // namespace tessera::reference
