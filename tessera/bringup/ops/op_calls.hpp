#pragma once

// Private to op_replay: how each op is called from its record.

#include <span>
#include <string_view>
#include <vector>

#include "tessera/bringup/ops/op_replay.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::bringup {

using OpOutputs = std::vector<tensor::Tensor>;
struct OpEntry {
  std::string_view op;
  OpOutputs (*call)(const OpCall&);
};

/// The activation that a record names.
ops::Activation activation_of(std::string_view name);

std::span<const OpEntry> arithmetic_calls();
std::span<const OpEntry> attention_calls();
std::span<const OpEntry> movement_calls();
std::span<const OpEntry> image_calls();
std::span<const OpEntry> collective_calls();

} // namespace tessera::bringup
