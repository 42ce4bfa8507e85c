#include "tessera/kernels/isa.hpp"
#include "tessera/numerics/vector_function.hpp"

namespace tessera::kernels::scalar {
namespace {

numerics::ArchKind arch_of(bool wormhole) {
  return wormhole ? numerics::ArchKind::WORMHOLE : numerics::ArchKind::BLACKHOLE;
}

} // namespace

void vector_unit_multiply_add(bool wormhole, const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                              std::int64_t count, std::uint32_t* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = numerics::sfpu::multiply_add(arch_of(wormhole), a[i], b[i], c[i]);
}

void vector_unit_function(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                          std::uint32_t* values) noexcept {
  const numerics::VectorUnit unit{
      .arch = arch_of(mode.wormhole),
      .dst = mode.dst_is_16_bit ? numerics::DstFormat::BFLOAT16 : numerics::DstFormat::FLOAT32,
      .approximate = mode.approximate};
  for (std::int64_t i = 0; i < count; ++i) values[i] = numerics::apply(unit, function, values[i], scalar);
}

void l1_accumulate(DataType dtype, const std::uint32_t* added, std::int64_t count, std::uint32_t* sums) noexcept {
  for (std::int64_t i = 0; i < count; ++i) {
    if (dtype == DataType::FLOAT32) {
      sums[i] = numerics::l1_accumulate_float32(sums[i], added[i]);
      continue;
    }
    const auto upper = [](std::uint32_t word) { return static_cast<std::uint16_t>(word >> 16); };
    sums[i] = std::uint32_t{numerics::l1_accumulate_bfloat16(upper(sums[i]), upper(added[i]))} << 16;
  }
}

} // namespace tessera::kernels::scalar
