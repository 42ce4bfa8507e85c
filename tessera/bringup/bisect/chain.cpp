#include "tessera/bringup/bisect/chain.hpp"

#include <fmt/format.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"

namespace tessera::bringup::bisect {
namespace {

// Two ways to sum the same fp32 values differ by less; the two forms of a layer by far more.
constexpr double kSameLayer = 1e-3;

std::string layer_name(std::int64_t layer) {
  return fmt::format("layers.{}", layer);
}

HostTensor sum(const HostTensor& a, const HostTensor& b) {
  base::require(a.shape == b.shape, "[bisect] a residual and what is added to it must have one shape; received {}, {}",
                a.shape, b.shape);
  HostTensor result = a;
  for (std::size_t i = 0; i < result.data.size(); ++i) result.data[i] += b.data[i];
  return result;
}

} // namespace

std::vector<std::string> modules_of_layer(std::int64_t layer, const LayerForm& form) {
  std::vector<std::string> names{"input_norm", "attention"};
  if (form.output_norms) names.emplace_back("attention_output_norm");
  if (form.mlp_norm) names.emplace_back("post_attention_norm");
  names.emplace_back("mlp");
  if (form.output_norms) names.emplace_back("mlp_output_norm");
  for (std::string& name : names) name = layer_name(layer) + "." + name;
  return names;
}

HostTensor run_layer(const RunModule& run, std::int64_t layer, const LayerForm& form, const HostTensor& x) {
  const std::string prefix = layer_name(layer) + ".";
  const HostTensor normed = run(prefix + "input_norm", x);
  HostTensor attended = run(prefix + "attention", normed);
  if (form.output_norms) attended = run(prefix + "attention_output_norm", attended);
  const HostTensor residual = sum(x, attended);
  const HostTensor mlp_input =
      form.mlp_norm ? run(prefix + "post_attention_norm", form.parallel ? x : residual) : normed;
  HostTensor expanded = run(prefix + "mlp", mlp_input);
  if (form.output_norms) expanded = run(prefix + "mlp_output_norm", expanded);
  return sum(residual, expanded);
}

LayerForm find_layer_form(nn::CausalLM& model, const HostTensor& x) {
  const nn::CausalLMInfo& info = model.info();
  const RunModule run = modules_of(model);
  const HostTensor whole = run(layer_name(0), x);
  LayerForm form{.mlp_norm = info.mlp_norm, .output_norms = info.output_norms, .parallel = !info.mlp_norm};
  const auto fits = [&] {
    return metrics::relative_frobenius_error(whole.data, run_layer(run, 0, form, x).data) < kSameLayer;
  };
  if (fits()) return form;
  form.parallel = !form.parallel;
  base::require<base::Unsupported>(
      fits(),
      "[bisect] a layer must be x + attention(norm(x)) + mlp(...), in sequence or in parallel; the layers of "
      "this {} model are neither",
      info.family);
  return form;
}

RunModule tracing(const RunModule& run, Trace& trace) {
  return [&run, &trace](const std::string& module, const HostTensor& x) {
    HostTensor y = run(module, x);
    trace[module] = {x, y};
    return y;
  };
}

RunModule modules_of(nn::CausalLM& model, nn::Phase phase) {
  return [&model, phase](const std::string& module, const HostTensor& x) { return model.run_module(module, x, phase); };
}

HostTensor run_rest(const RunModule& run, std::int64_t layer, std::int64_t layers, HostTensor x) {
  for (; layer < layers; ++layer) x = run(layer_name(layer), x);
  return run("lm_head", run("final_norm", x));
}

HostTensor run_chain(const RunModule& run, std::int64_t layers, const LayerForm& form, const HostTensor& ids) {
  HostTensor x = run("embedding", ids);
  for (std::int64_t layer = 0; layer < layers; ++layer) x = run_layer(run, layer, form, x);
  return run_rest(run, layers, layers, std::move(x));
}

HostTensor ids_tensor(const std::vector<Ids>& sequences) {
  base::require(!sequences.empty() && !sequences.front().empty(), "[bisect] a text is needed; received none");
  const std::size_t length = sequences.front().size();
  HostTensor ids{{static_cast<std::int64_t>(sequences.size()), static_cast<std::int64_t>(length)}, {}};
  for (const Ids& sequence : sequences) {
    base::require(sequence.size() == length, "[bisect] sequences must have one length; received {} and {}", length,
                  sequence.size());
    ids.data.insert(ids.data.end(), sequence.begin(), sequence.end());
  }
  return ids;
}

} // namespace tessera::bringup::bisect
