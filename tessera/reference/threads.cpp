#include "tessera/reference/threads.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <thread>

#include "tessera/base/error.hpp"

namespace tessera::reference {

void set_torch_threads(int threads) {
  base::require(threads >= 0 && threads <= 1024,
                "[reference] threads must be in 0..1024; received {}; 0 means one per core", threads);
  if (threads == 0) threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 1024U));
  at::set_num_threads(threads);
  // OpenBLAS keeps its own pool, which libtorch's setting does not reach. The symbol is absent with another BLAS.
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads);
}

} // namespace tessera::reference
