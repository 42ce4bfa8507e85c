#pragma once

#include <span>

#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::bringup {

/// values = what the device's format keeps of them: to nearest even, in block formats 16 neighbours of a row of `width`
/// together.
void round_to_format(DataType dtype, std::int64_t width, std::span<float> values);

/// The relative Frobenius error that an op's arithmetic may make before its output is rounded, on inputs that are the
/// device's stored values. 0: the op moves elements.
double arithmetic_limit(const OpRecord& record, runtime::Numerics numerics);

/// How much more than one rounding to nearest an output's packing may lose.
double rounding_margin(const OpRecord& record, runtime::Numerics numerics);

} // namespace tessera::bringup
