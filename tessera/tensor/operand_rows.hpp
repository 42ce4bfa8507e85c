#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/op_record.hpp"
#include "tessera/tensor/host_tensor.hpp"

// Parts of operands, and integers, as observers read them: read_operand's companions, defined beside it.

namespace tessera::tensor {

/// Decodes these rows of an operand (all but its last dimension folded), one after the other: of a table or a cache the
/// few that an op touches. Errors as in read_operand.
std::vector<float> read_operand_rows(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip,
                                     std::span<const std::int64_t> rows);

/// An operand of INT32 or UINT32 in ROW_MAJOR, UINT32 by its bits. Errors as in read_operand; throws InvalidArgument
/// for other formats.
std::vector<std::int32_t> read_operand_integers(const runtime::MeshDevice& device, const OperandRecord& operand,
                                                std::int64_t chip);

} // namespace tessera::tensor
