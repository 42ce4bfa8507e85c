#pragma once

#include <cstdint>

namespace tessera::tests {

/// Calls of operator new so far, on all threads of the process. The program must be linked with
/// tests/allocation_counter.cpp. 0 under the address sanitizer.
std::int64_t allocations();

} // namespace tessera::tests
