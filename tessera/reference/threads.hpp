#pragma once

namespace tessera::reference {

/// Threads of libtorch's matrix products, for the whole process; 0: one per core. Throws InvalidArgument outside
/// 0..1024.
void set_torch_threads(int threads);

} // namespace tessera::reference
