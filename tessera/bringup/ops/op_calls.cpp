#include "tessera/bringup/ops/op_calls.hpp"

#include <array>

#include "tessera/base/error.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"
#include "tessera/ops/normalization/distributed_norm.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/sampling/argmax.hpp"
#include "tessera/ops/sampling/sampling.hpp"

namespace tessera::bringup {
namespace {

using tensor::Tensor;

float epsilon_of(const OpCall& call) {
  return static_cast<float>(call.number("epsilon"));
}

ops::LinearOptions linear_options(const OpCall& call) {
  return {.bias = call.input("bias"),
          .activation = activation_of(call.text("activation")),
          .dtype = call.output().dtype,
          .memory_config = {},
          .compute_kernel_config = call.compute()};
}

OpOutputs linear(const OpCall& call) {
  return {ops::linear(call.input("input_tensor_a"), call.input("weight"), linear_options(call))};
}

OpOutputs grouped_linear(const OpCall& call) {
  const std::int64_t choices = call.integer("k");
  const TensorSpec list{{call.integer("routed_rows") * choices}, DataType::FLOAT32, Layout::ROW_MAJOR, {}};
  const ops::Routing routing{.weights = Tensor::allocate(call.device(), list, "weights"), // whose extent alone is read
                             .places = {},
                             .rows = call.input("rows"),
                             .begins = call.input("begins"),
                             .counts = call.input("counts"),
                             .choices = choices};
  const auto kind = call.text("input_kind") == "GATHER" ? ops::GroupedInput::GATHER : ops::GroupedInput::PLACES;
  return {ops::grouped_linear(call.input("input"), kind, call.inputs("weight"), routing, linear_options(call))};
}

OpOutputs moe_routing(const OpCall& call) {
  const ops::Routing routing = ops::moe_routing(call.input("logits"), call.integer("k"));
  return {routing.weights, routing.places, routing.rows, routing.begins, routing.counts};
}

OpOutputs moe_combine(const OpCall& call) {
  const Tensor y = call.input("y");
  const TensorSpec rows{{y.shape()[-2]}, DataType::INT32, Layout::ROW_MAJOR, {}};
  const ops::Routing routing{.weights = call.input("weights"),
                             .places = call.input("places"),
                             .rows = Tensor::allocate(call.device(), rows, "rows"), // whose extent alone is read
                             .begins = {},
                             .counts = {},
                             .choices = call.integer("k")};
  return {ops::moe_combine(y, routing)};
}

ops::BinaryOptions binary_options(const OpCall& call) {
  return {.input_tensor_a_activation = activation_of(call.text("input_tensor_a_activation")),
          .dtype = call.output().dtype,
          .memory_config = {}};
}

OpOutputs add(const OpCall& call) {
  return {ops::add(call.input("input_tensor_a"), call.input("input_tensor_b"), binary_options(call))};
}

OpOutputs mul(const OpCall& call) {
  if (call.has_attribute("scalar"))
    return {ops::mul(call.input("input_tensor"), static_cast<float>(call.number("scalar")))};
  return {ops::mul(call.input("input_tensor_a"), call.input("input_tensor_b"), binary_options(call))};
}

OpOutputs gelu(const OpCall& call) {
  return {ops::gelu(call.input("input_tensor"), {.fast_and_approximate_mode = call.flag("fast_and_approximate_mode"),
                                                 .dtype = call.output().dtype,
                                                 .memory_config = {}})};
}

OpOutputs tanh(const OpCall& call) {
  return {ops::tanh(call.input("input_tensor"))};
}

OpOutputs softcap(const OpCall& call) {
  return {ops::softcap(call.input("input_tensor"), static_cast<float>(call.number("cap")))};
}

OpOutputs plus_one(const OpCall& call) {
  const Tensor x = call.input("input_tensor");
  ops::plus_one(x);
  return {x};
}

OpOutputs rms_norm(const OpCall& call) {
  return {ops::rms_norm(call.input("input_tensor"), call.input("weight"),
                        {.epsilon = epsilon_of(call), .dtype = call.output().dtype, .memory_config = {}})};
}

OpOutputs layer_norm(const OpCall& call) {
  return {ops::layer_norm(call.input("input_tensor"), {.epsilon = epsilon_of(call),
                                                       .weight = call.input("weight"),
                                                       .bias = call.input("bias"),
                                                       .dtype = call.output().dtype,
                                                       .memory_config = {}})};
}

OpOutputs rms_norm_pre(const OpCall& call) {
  return {ops::rms_norm_pre_all_gather(call.input("input_tensor"))};
}

OpOutputs layer_norm_pre(const OpCall& call) {
  return {ops::layer_norm_pre_all_gather(call.input("input_tensor"))};
}

OpOutputs rms_norm_post(const OpCall& call) {
  return {ops::rms_norm_post_all_gather(call.input("input_tensor"), call.input("stats"), call.input("weight"),
                                        {.epsilon = epsilon_of(call),
                                         .width = call.integer("width"),
                                         .dtype = call.output().dtype,
                                         .memory_config = {}})};
}

OpOutputs layer_norm_post(const OpCall& call) {
  return {ops::layer_norm_post_all_gather(call.input("input_tensor"), call.input("stats"), call.input("weight"),
                                          {.epsilon = epsilon_of(call),
                                           .width = call.integer("width"),
                                           .bias = call.input("bias"),
                                           .dtype = call.output().dtype,
                                           .memory_config = {}})};
}

OpOutputs argmax(const OpCall& call) {
  return {ops::argmax(call.input("input_tensor"))};
}

OpOutputs sampling(const OpCall& call) {
  const Tensor output = call.output_tensor();
  ops::sampling(call.input("input_tensor"),
                {.temperature = call.input("temperature"),
                 .k = call.input("k"),
                 .p = call.input("p"),
                 .seed = call.input("seed"),
                 .positions = call.input("positions")},
                output);
  return {output};
}

constexpr OpEntry kEntries[] = {{"linear", linear},
                                {"grouped_linear", grouped_linear},
                                {"moe_routing", moe_routing},
                                {"moe_combine", moe_combine},
                                {"add", add},
                                {"mul", mul},
                                {"gelu", gelu},
                                {"tanh", tanh},
                                {"softcap", softcap},
                                {"plus_one", plus_one},
                                {"rms_norm", rms_norm},
                                {"layer_norm", layer_norm},
                                {"rms_norm_pre_all_gather", rms_norm_pre},
                                {"layer_norm_pre_all_gather", layer_norm_pre},
                                {"rms_norm_post_all_gather", rms_norm_post},
                                {"layer_norm_post_all_gather", layer_norm_post},
                                {"argmax", argmax},
                                {"sampling", sampling}};

} // namespace

ops::Activation activation_of(std::string_view name) {
  constexpr std::array kAll{ops::Activation::NONE, ops::Activation::SILU, ops::Activation::GELU,
                            ops::Activation::GELU_TANH, ops::Activation::RELU};
  for (const ops::Activation activation : kAll) {
    if (ops::to_string(activation) == name) return activation;
  }
  throw base::InvalidArgument(fmt::format("[replay-op] a known activation is required; received {}", name));
}

std::span<const OpEntry> arithmetic_calls() {
  return kEntries;
}

OpFunction function_of(std::string_view op) {
  for (const auto group : {arithmetic_calls, attention_calls, movement_calls, image_calls, collective_calls}) {
    for (const OpEntry& entry : group()) {
      if (entry.op == op) return entry.call;
    }
  }
  throw base::InvalidArgument(
      fmt::format("[replay-op] an op that can be called from its record is required; received {}", op));
}

} // namespace tessera::bringup
