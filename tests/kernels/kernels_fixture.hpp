#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tessera/kernels/kernels.hpp"

namespace tessera::kernels {

inline constexpr std::array kFormats = {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B,
                                        DataType::BFLOAT2_B};
/// Two AVX-512 vectors and one more.
inline constexpr std::int64_t kMostSizes = 33;

/// What TESSERA_ISA asks for, "" when it asks for nothing.
inline std::string forced_isa() {
  const char* value = std::getenv("TESSERA_ISA");
  return value == nullptr ? "" : value;
}

/// Tests of the table in use against the scalar oracle.
class KernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!forced_isa().empty() && kernels_for(forced_isa()) == nullptr) {
      GTEST_SKIP() << "this CPU has no " << forced_isa();
    }
    tested = &kernels();
  }

  const Kernels* tested = nullptr;
  const Kernels* oracle = kernels_for("scalar");
  std::mt19937 random{42};

  std::vector<float> normals(std::int64_t count, float deviation = 1.0F) {
    std::normal_distribution<float> normal(0.0F, deviation);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal(random);
    return values;
  }
  /// Any bit pattern, with zeros, denormals, Inf and NaN in every few.
  std::vector<float> any_floats(std::int64_t count) {
    constexpr std::array<std::uint32_t, 10> kSpecials = {0,          0x80000000, 1,          0x80000001, 0x007FFFFF,
                                                         0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001, 0x7F7FFFFF};
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
      value = std::bit_cast<float>(random() % 4 == 0 ? kSpecials[random() % kSpecials.size()]
                                                     : static_cast<std::uint32_t>(random()));
    }
    return values;
  }
  std::vector<std::byte> any_bytes(std::int64_t count) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(count));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
  }
};

/// The bits of floats; every NaN as one, because which NaN an operation gives is not part of any contract.
inline std::vector<std::uint32_t> bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::isnan(value) ? 0x7FC00000 : std::bit_cast<std::uint32_t>(value));
  return bits;
}
/// The bits of floats, NaNs as they are: for what only moves data.
inline std::vector<std::uint32_t> exact_bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

/// A tiled matrix with its memory, starting `misalignment` elements off a 64-byte boundary.
struct TiledMatrix {
  TiledMatrix(DataType format, std::int64_t tile_rows, std::int64_t tile_columns, std::int64_t misalignment = 0)
      : memory(static_cast<std::size_t>(tile_rows * tile_columns * tile_bytes(format) + 128), std::byte{0xEE}) {
    const auto address = std::bit_cast<std::uintptr_t>(memory.data());
    const std::int64_t element = format == DataType::FLOAT32 ? 4 : format == DataType::BFLOAT16 ? 2 : 1;
    std::byte* aligned = memory.data() + (64 - address % 64);
    tiles = {aligned + misalignment * element, format, tile_rows, tile_columns};
  }
  TiledMatrix(const TiledMatrix&) = delete;
  TiledMatrix& operator=(const TiledMatrix&) = delete;

  std::int64_t bytes() const { return tiles.tile_rows * tiles.tile_columns * tile_bytes(tiles.dtype); }
  /// The tiles and one byte on either side.
  std::span<const std::byte> fenced() const { return {tiles.data - 1, static_cast<std::size_t>(bytes() + 2)}; }
  void fill(std::span<const std::byte> content) { std::copy(content.begin(), content.end(), tiles.data); }

  std::vector<std::byte> memory;
  Tiles tiles;
};

} // namespace tessera::kernels
