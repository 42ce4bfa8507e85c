#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::fuzz {

/// Opens `bytes` as a safetensors file and reads every tensor. True when it opened, false when it was refused with one
/// of Tessera's errors; any other exception, and any finding of a sanitizer, is a bug.
inline bool open_and_read_safetensors(std::span<const std::byte> bytes) {
  try {
    const auto file = checkpoint::SafeTensors::from_bytes(bytes, nullptr, "fuzz.safetensors");
    for (const checkpoint::TensorView& tensor : file.tensors()) checkpoint::to_float(tensor);
    return true;
  } catch (const base::Error&) {
    return false;
  }
}

} // namespace tessera::fuzz
