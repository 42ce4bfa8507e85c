#include "tessera/reference/ops/golden_call.hpp"

// Ops on each element by itself.

namespace tessera::reference {
namespace {

/// b's rows repeat where a has more.
at::Tensor repeated(const at::Tensor& b, const at::Tensor& a) {
  if (a.size(-2) == b.size(-2)) return b;
  return b.reshape({b.size(-2), b.size(-1)}).repeat({a.size(-2) / b.size(-2), 1});
}

GoldenOutputs add(const GoldenCall& call) {
  const at::Tensor a = call.input("input_tensor_a");
  const at::Tensor b = repeated(call.input("input_tensor_b"), a);
  return {golden_output(call.output(), activated(a, call.text("input_tensor_a_activation")) + b)};
}

GoldenOutputs mul(const GoldenCall& call) {
  if (call.has_attribute("scalar"))
    return {golden_output(call.output(), call.input("input_tensor") * call.number("scalar"))};
  const at::Tensor a = activated(call.input("input_tensor_a"), call.text("input_tensor_a_activation"));
  return {golden_output(call.output(), a * call.input("input_tensor_b"))};
}

GoldenOutputs gelu(const GoldenCall& call) {
  const char* const kind = call.flag("fast_and_approximate_mode") ? "GELU_TANH" : "GELU";
  return {golden_output(call.output(), activated(call.input("input_tensor"), kind))};
}

GoldenOutputs tanh(const GoldenCall& call) {
  return {golden_output(call.output(), at::tanh(call.input("input_tensor")))};
}

GoldenOutputs softcap(const GoldenCall& call) {
  const double cap = call.number("cap");
  return {golden_output(call.output(), cap * at::tanh(call.input("input_tensor") / cap))};
}

/// Negative entries, idle users, stay.
GoldenOutputs plus_one(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  return {golden_output(call.output(), at::where(x.ge(0), x + 1, x))};
}

constexpr GoldenEntry kEntries[] = {{"add", add},   {"mul", mul},         {"gelu", gelu},
                                    {"tanh", tanh}, {"softcap", softcap}, {"plus_one", plus_one}};

} // namespace

std::span<const GoldenEntry> eltwise_goldens() {
  return kEntries;
}

} // namespace tessera::reference
