#pragma once

#include <cstdint>
#include <new>
#include <vector>

namespace tessera::runtime {

/// Working memory of one unit on its thread: `count` floats, not initialised, 64-byte aligned. It is kept for the next
/// unit, so a kernel call takes all it needs at once: the next call on the same thread gives the same memory again.
inline float* thread_scratch(std::int64_t count) {
  struct Aligned {
    alignas(64) float values[16];
  };
  thread_local std::vector<Aligned> memory;
  const auto blocks = static_cast<std::size_t>((count + 15) / 16);
  if (memory.size() < blocks) memory = std::vector<Aligned>(blocks);
  return reinterpret_cast<float*>(memory.data());
}

} // namespace tessera::runtime
