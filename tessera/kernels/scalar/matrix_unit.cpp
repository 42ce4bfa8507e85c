#include "tessera/numerics/matrix_unit.hpp"

#include <array>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {
namespace {

numerics::MatrixUnit unit_of(const MatrixUnitMode& mode) {
  return {.dst = mode.dst_is_16_bit ? numerics::DstFormat::BFLOAT16 : numerics::DstFormat::FLOAT32,
          .cancellation_fault = mode.cancellation_fault};
}

} // namespace

void matrix_unit_tile(const MatrixUnitMode& mode, const std::uint32_t* in0, std::int64_t in0_stride, std::int64_t rows,
                      const std::uint32_t* in1, std::uint32_t* dst, std::int64_t dst_stride) noexcept {
  using Face = std::span<const std::uint32_t, kFaceWidth>;
  const numerics::MatrixUnit unit = unit_of(mode);
  for (std::int64_t j = 0; j < kTileWidth; ++j) {
    std::array<std::uint32_t, kTileHeight> column;
    for (std::int64_t k = 0; k < kTileHeight; ++k) column[static_cast<std::size_t>(k)] = in1[k * kTileWidth + j];
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::uint32_t* const row = in0 + i * in0_stride;
      std::uint32_t& sum = dst[i * dst_stride + j];
      for (int phase = 0; phase < mode.phases; ++phase) {
        for (std::int64_t k = 0; k < kTileHeight; k += kFaceWidth)
          sum = unit.dot(phase, Face(column.data() + k, kFaceWidth), Face(row + k, kFaceWidth), sum);
      }
    }
  }
}

void matrix_unit_multiply(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                          std::int64_t count, std::uint32_t* dst) noexcept {
  const numerics::MatrixUnit unit = unit_of(mode);
  for (std::int64_t i = 0; i < count; ++i) {
    for (int phase = 0; phase < mode.phases; ++phase) dst[i] = unit.multiply(phase, a[i], b[i], dst[i]);
  }
}

void matrix_unit_add(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b, std::uint32_t b_signs,
                     std::int64_t count, std::uint32_t* dst) noexcept {
  const numerics::MatrixUnit unit = unit_of(mode);
  for (std::int64_t i = 0; i < count; ++i) dst[i] = unit.add(a[i], b[i] ^ b_signs, 0);
}

} // namespace tessera::kernels::scalar
