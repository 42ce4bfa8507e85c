#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tessera::checkpoint {

/// A tensor of 64-bit integers to be written.
struct IntegerTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> values; ///< row-major
};

/// Writes a dictionary of tensors as PyTorch's torch.save does since its version 1.6: a zip archive of stored records,
/// `data.pkl` (a pickle of protocol 2) and one record of bytes for each tensor. torch.load reads it, with weights_only
/// too. The file appears whole or not at all. Throws InvalidArgument for values that do not fit their shape and for
/// more than 2 GB, IoError when writing fails.
void write_torch_file(const std::filesystem::path& path, std::span<const IntegerTensor> tensors);

} // namespace tessera::checkpoint
