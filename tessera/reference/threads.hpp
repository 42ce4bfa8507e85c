#pragma once

namespace tessera::reference {

/// Threads for libtorch and its BLAS, for the whole process; 0: one per core. Throws InvalidArgument when negative.
void set_torch_threads(int threads);

} // namespace tessera::reference
