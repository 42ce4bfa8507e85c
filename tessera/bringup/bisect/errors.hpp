#pragma once

#include <vector>

#include "tessera/bringup/bisect/session.hpp"

namespace tessera::bringup::bisect {

/// The whole model on the texts, as it runs on the device.
struct DeviceRun {
  std::vector<HostTensor> states;               ///< of prefill: the embedding's output, layers' outputs [B, S, E]
  HostTensor logits;                            ///< of prefill, [B, S, V]
  HostTensor decode_logits;                     ///< [B, S, V]
  std::vector<double> decode_errors;            ///< relative errors of the states in decode
  std::vector<std::int64_t> decode_first_wrong; ///< first position at which decode's states stand out; -1: none
};

DeviceRun run_device(Session& session);

/// Local errors of all modules, in the order of module_names, prefill and decode. `full`: the model in full precision,
/// or null.
std::vector<ModuleErrors> local_errors(Session& session, nn::CausalLM* full);

/// Adds what the modules make of the device's own inputs, and what the reference makes of these.
void add_accumulated(Session& session, const DeviceRun& run, std::vector<ModuleErrors>& modules);

/// How many choices of experts the device's own errors turn.
std::vector<Flips> expert_flips(Session& session, const DeviceRun& run);

/// Relative errors of the rows of [.., W].
std::vector<double> row_errors(const HostTensor& expected, const HostTensor& actual);

/// First position of [B, S, W] from which rows are wrong where the earlier ones are not: the error of a position, over
/// the B texts, is above `limit` and many times that of those before. -1: none.
std::int64_t first_wrong_position(const HostTensor& expected, const HostTensor& actual, double limit);

} // namespace tessera::bringup::bisect
