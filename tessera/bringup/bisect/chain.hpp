#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tessera/bringup/reference.hpp"
#include "tessera/nn/causal_lm.hpp"

namespace tessera::bringup::bisect {

using tensor::HostTensor;

/// Runs one module on [B, S, width] (ids [B, S] for the embedding), wherever it comes from.
using RunModule = std::function<HostTensor(const std::string& module, const HostTensor& x)>;

/// A module's inputs and outputs by its name.
using Trace = std::map<std::string, ModuleCase>;

/// How a layer puts its modules together.
struct LayerForm {
  bool mlp_norm = true;
  bool output_norms = false;
  bool parallel = false; ///< the MLP reads the layer's input, beside the attention
};

/// The modules of one layer in the order in which they run: "layers.3.input_norm", ..., "layers.3.mlp".
std::vector<std::string> modules_of_layer(std::int64_t layer, const LayerForm& form);

/// Finds the form of the layers by running layer 0 of a model in both ways on `x` [B, S, E]. Throws Unsupported when
/// its output is neither.
LayerForm find_layer_form(nn::CausalLM& model, const HostTensor& x);

/// A layer as a chain of its modules, with the residual added on the host: x [B, S, E] -> [B, S, E].
HostTensor run_layer(const RunModule& run, std::int64_t layer, const LayerForm& form, const HostTensor& x);

/// `run` that keeps what goes in and out. Both must outlive the result.
RunModule tracing(const RunModule& run, Trace& trace);

/// The modules of a model, as PREFILL or DECODE runs them.
RunModule modules_of(nn::CausalLM& model, nn::Phase phase = nn::Phase::PREFILL);

/// The whole model as a chain on ids [B, S], layers taken apart: logits [B, S, V].
HostTensor run_chain(const RunModule& run, std::int64_t layers, const LayerForm& form, const HostTensor& ids);

/// What follows layer `layer` - 1: whole layers, the final norm, the LM head: [B, S, E] -> [B, S, V].
HostTensor run_rest(const RunModule& run, std::int64_t layer, std::int64_t layers, HostTensor x);

/// Sequences of equal length as [B, S].
HostTensor ids_tensor(const std::vector<Ids>& sequences);

} // namespace tessera::bringup::bisect
