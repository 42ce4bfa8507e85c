#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/checkpoint/storage_type.hpp"

namespace tessera::checkpoint {

/// A tensor as it lies in a file: row-major, little-endian, not copied.
struct TensorView {
  std::string name;
  StorageType dtype = StorageType::F32;
  std::vector<std::int64_t> shape; ///< Empty for a scalar, which has one element.
  /// The raw elements, usually memory-mapped. May be unaligned for `dtype`: read by memcpy or through the functions
  /// below.
  std::span<const std::byte> data;
  /// Keeps `data` alive.
  std::shared_ptr<const void> owner;
  /// `data` lie in a mapped file: pages that are let go come back.
  bool mapped = false;

  std::size_t num_elements() const { return data.size() / element_size(dtype); }
};

/// All elements as float. F32, F16 and BF16 are widened exactly; F64 and large integers are rounded to nearest; BOOL
/// gives 0 or 1.
std::vector<float> to_float(const TensorView& tensor);

/// As `to_float`, for the elements `first` .. `first + out.size() - 1` only: a large tensor is read piece by piece.
/// Throws InvalidArgument when the range leaves the tensor.
void copy_as_float(const TensorView& tensor, std::size_t first, std::span<float> out);

/// All elements of an integer or BOOL tensor. Throws InvalidArgument for floating point and for U64 values above
/// 2^63-1.
std::vector<std::int64_t> to_int64(const TensorView& tensor);

/// "[2, 48, 512]": for error texts. Long shapes are cut.
std::string shape_to_string(std::span<const std::int64_t> shape);

} // namespace tessera::checkpoint
