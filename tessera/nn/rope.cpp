#include "tessera/nn/rope.hpp"

#include <cmath>
#include <numbers>

#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/tensor/mesh.hpp"

namespace tessera::nn {
namespace {

double scaled(double frequency, const Llama3RopeScaling& scaling) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double longest_kept = scaling.original_max_positions / scaling.high_freq_factor;
  const double shortest_stretched = scaling.original_max_positions / scaling.low_freq_factor;
  if (wavelength < longest_kept) return frequency;
  if (wavelength > shortest_stretched) return frequency / scaling.factor;
  const double smooth = (scaling.original_max_positions / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1.0 - smooth) * frequency / scaling.factor + smooth * frequency;
}

/// cos or sin of every (position, pair) angle, each value twice.
tensor::HostRows angle_rows(std::vector<float> frequencies, std::int64_t positions, float (*function)(float)) {
  const auto head_dim = static_cast<std::int64_t>(2 * frequencies.size());
  return {positions, head_dim,
          [frequencies = std::move(frequencies), function](std::int64_t position, std::int64_t first,
                                                           std::int64_t count, float* out) {
            for (std::int64_t i = 0; i < count; ++i) {
              // The angle is rounded to fp32 before the cosine, as the published models were trained.
              const float angle = static_cast<float>(position) * frequencies[static_cast<std::size_t>((first + i) / 2)];
              out[i] = function(angle);
            }
          }};
}

} // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, std::int64_t head_dim) {
  std::vector<float> frequencies;
  for (std::int64_t pair = 0; pair < head_dim / 2; ++pair) {
    double frequency =
        std::pow(config.theta, -2.0 * static_cast<double>(pair) / static_cast<double>(head_dim)) / config.linear_factor;
    if (config.llama3) frequency = scaled(frequency, *config.llama3);
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

RopeTables::RopeTables(runtime::MeshDevice& device, const RopeConfig& config, std::int64_t head_dim,
                       std::int64_t positions, DataType dtype)
    : dtype_(is_block_float(dtype) ? DataType::BFLOAT16 : dtype) {
  const TensorSpec spec{{1, 1, positions, head_dim}, dtype_, Layout::ROW_MAJOR, kDramInterleaved};
  const std::vector<float> frequencies = rope_frequencies(config, head_dim);
  const auto table = [&](const tensor::HostRows& rows, std::string_view name) {
    return tensor::from_host(device, rows, spec, tensor::replicate_tensor_to_mesh(), name, tensor::HostMemory::SHARED);
  };
  cos_ = table(angle_rows(frequencies, positions, std::cos), "rope.cos");
  sin_ = table(angle_rows(frequencies, positions, std::sin), "rope.sin");
}

RopeTables::Rows RopeTables::look_up(const tensor::Tensor& positions, const MemoryConfig& memory_config) const {
  const ops::EmbeddingOptions options{.dtype = dtype_, .memory_config = memory_config};
  return {ops::embedding(positions, cos_, options), ops::embedding(positions, sin_, options)};
}

} // namespace tessera::nn
