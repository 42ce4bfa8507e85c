#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/tile_layout.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera {

/// For failure messages.
inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << to_string(shape);
}

} // namespace tessera

namespace tessera::test {

using tensor::HostTensor;
using tensor::Tensor;

/// Normal deviates, the same for the same seed.
inline HostTensor random_values(const Shape& shape, std::uint32_t seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  HostTensor tensor{shape, std::vector<float>(static_cast<std::size_t>(shape.volume()))};
  for (float& value : tensor.data) value = normal(random);
  return tensor;
}

/// What the device holds of `values` in `dtype`, by the conversions of tessera/numerics, which have their own golden
/// tests.
inline HostTensor rounded(const HostTensor& values, DataType dtype) {
  const std::int64_t rows = values.shape.rank() >= 2 ? values.shape[-2] : 1;
  const std::int64_t columns = values.shape[-1];
  const auto matrix = static_cast<std::size_t>(rows * columns);
  HostTensor result = values;
  std::vector<std::byte> tiles(static_cast<std::size_t>(numerics::tilized_bytes(rows, columns, dtype)));
  for (std::size_t first = 0; first < values.data.size(); first += matrix) {
    numerics::tilize(std::span(values.data).subspan(first, matrix), rows, columns, dtype,
                     numerics::TileOrder::ColumnPairs, tiles);
    numerics::untilize(tiles, rows, columns, dtype, numerics::TileOrder::ColumnPairs,
                       std::span(result.data).subspan(first, matrix));
  }
  return result;
}

/// A mesh of Wormhole chips of any shape.
inline std::shared_ptr<runtime::MeshDevice> open_mesh(std::int64_t rows, std::int64_t columns, int threads = 2) {
  BoardSpec spec = board("t3000");
  spec.mesh_rows = rows;
  spec.mesh_columns = columns;
  return runtime::MeshDevice::open({.board = spec, .threads = threads});
}

inline Tensor to_device(runtime::MeshDevice& device, const HostTensor& values, DataType dtype,
                        const MemoryConfig& memory_config = kDramInterleaved) {
  return tensor::from_host(device, tensor::rows_of(values), {values.shape, dtype, Layout::TILE, memory_config}, "test");
}

inline Tensor integers_to_device(runtime::MeshDevice& device, const Shape& shape, std::vector<std::int32_t> values) {
  return tensor::from_host(device, std::move(values), {shape, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved},
                           "test");
}

/// Bits, so that -0 differs from 0 and a NaN equals itself.
inline std::vector<std::uint32_t> bits_of(const HostTensor& tensor) {
  std::vector<std::uint32_t> bits;
  for (const float value : tensor.data) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

/// For parameterised tests' names.
inline std::string dtype_name(const ::testing::TestParamInfo<DataType>& info) {
  return std::string(to_string(info.param));
}

} // namespace tessera::test
