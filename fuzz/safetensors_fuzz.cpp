// libFuzzer entry point. Build with clang++ -fsanitize=fuzzer,address,undefined from this file and the sources of
// tessera/base and tessera/checkpoint; start from the golden files as corpus. The seeded mutations of
// tests/checkpoint/mutation_test.cpp run the same target in every test run.

#include <cstddef>
#include <cstdint>

#include "fuzz/safetensors_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tessera::fuzz::open_and_read_safetensors({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
