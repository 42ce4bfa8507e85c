#pragma once

#include <cstdint>

#include "tessera/spec/op_record.hpp"

namespace tessera::profile {

/// A hash of what a profile tells of a record: all but addresses and attributes. Two records with one fingerprint are
/// taken for the same: of a million different ones, two have the same with a probability below 1 in 10 million.
std::uint64_t fingerprint(const OpRecord& record);

} // namespace tessera::profile
