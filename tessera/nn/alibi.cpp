#include "tessera/nn/alibi.hpp"

#include <bit>
#include <cmath>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/tensor/mesh.hpp"

namespace tessera::nn {
namespace {

float rounded(float value) {
  return numerics::from_bfloat16(numerics::to_bfloat16(value));
}

} // namespace

std::vector<float> alibi_slopes(std::int64_t heads) {
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  const auto base = [](std::int64_t of) { return std::exp2(-8.0 / static_cast<double>(of)); };
  std::vector<float> slopes;
  for (std::int64_t i = 1; i <= power; ++i) slopes.push_back(static_cast<float>(std::pow(base(power), i)));
  // The heads beyond take every second slope of twice as many.
  for (std::int64_t i = 1; static_cast<std::int64_t>(slopes.size()) < heads; i += 2)
    slopes.push_back(static_cast<float>(std::pow(base(2 * power), i)));
  return slopes;
}

tensor::Tensor alibi_bias(runtime::MeshDevice& device, const DecoderConfig& config, const TensorParallel& parallel,
                          std::int64_t positions) {
  const std::vector<float> slopes = alibi_slopes(config.heads);
  const auto scale = static_cast<float>(config.scale());
  const tensor::HostRows all{config.heads, positions,
                             [slopes, scale](std::int64_t head, std::int64_t first, std::int64_t count, float* out) {
                               const float slope = rounded(slopes[static_cast<std::size_t>(head)]);
                               // As the original computes it: position and product in bfloat16.
                               for (std::int64_t i = 0; i < count; ++i)
                                 out[i] = scale * rounded(slope * rounded(static_cast<float>(first + i)));
                             }};
  const std::int64_t of_chip = parallel.heads(0, config.heads).count;
  const TensorSpec spec{{1, 1, of_chip, positions}, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved};
  const tensor::Tensor table = tensor::Tensor::allocate(device, spec, "alibi");
  tensor::write_rows(table, parallel.of_chips([&](std::int64_t chip) {
    return tensor::slice(all, parallel.heads(chip, config.heads).first, of_chip, 0, positions);
  }));
  return table;
}

} // namespace tessera::nn
