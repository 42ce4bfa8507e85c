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
  // Two pools that spin for each other are slower than one thread as soon as the machine does anything else: a layer of
  // 256 x 256 tokens took 160 ms with two threads in both, 11 ms with two in OpenBLAS alone (two busy cores of an EPYC
  // of the Zen 5 kind). So libtorch's own loops take one thread, and the matrix products, nearly all of the work, take
  // all.
  at::set_num_threads(1);
  // OpenBLAS's setting, which libtorch does not reach. The symbol is absent with another BLAS.
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads);
}

} // namespace tessera::reference
