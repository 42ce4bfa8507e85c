#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace tessera::test {

/// The bytes of a safetensors file made of any header text, right or wrong, and data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = "") {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  bytes += header;
  bytes += data;
  return bytes;
}

/// A small valid file: "a" F32 [2], "b" BF16 [2, 2], "c" I64 [], "d" BOOL [0], metadata. 24 bytes of data.
inline std::string small_safetensors() {
  return safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]},"c":{"dtype":"I64","shape":[],"data_offsets":[16,24]},)"
      R"("d":{"dtype":"BOOL","shape":[0],"data_offsets":[24,24]}})",
      std::string_view("\x00\x00\x80\x3f\x00\x00\x00\xc0\x80\x3f\x00\x40\x40\x40\x80\x40\x2a\0\0\0\0\0\0\0", 24));
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

} // namespace tessera::test
