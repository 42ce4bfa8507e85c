// libFuzzer entry point. Build with clang++ -fsanitize=fuzzer,address,undefined from this file and the sources of
// tessera/base and tessera/tokenizer; start from any tokenizer.json as corpus. The seeded mutations of
// tests/tokenizer/mutation_test.cpp run the same target in every test run.

#include <cstddef>
#include <cstdint>

#include "fuzz/tokenizer_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tessera::fuzz::read_and_use_tokenizer({reinterpret_cast<const char*>(data), size});
  return 0;
}
