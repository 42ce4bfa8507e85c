#include "tessera/nn/rope.hpp"

#include <algorithm>
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

/// How far pair `pair` is stretched: 0 not at all, 1 by the whole factor.
double yarn_ramp(const YarnRopeScaling& scaling, double theta, std::int64_t turned, std::int64_t pair) {
  const auto size = static_cast<double>(turned);
  const auto pair_of_turns = [&](double turns) {
    return size * std::log(scaling.original_max_positions / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(theta));
  };
  double low = pair_of_turns(scaling.beta_fast);
  double high = pair_of_turns(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, size - 1.0);
  if (low == high) high += 0.001;
  return std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
}

/// What the table's rows are made of.
struct Angles {
  std::vector<float> frequencies[2]; // of short and of long sequences
  std::int64_t positions;            // rows of the first kind
  std::int64_t head_dim;
  float factor;
  float still; // of values that do not turn
};

/// cos or sin of every (position, pair) angle, each value twice.
tensor::HostRows angle_rows(Angles angles, std::int64_t rows, float (*function)(float)) {
  const std::int64_t head_dim = angles.head_dim;
  return {rows, head_dim,
          [angles = std::move(angles), function](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
            const bool is_long = row >= angles.positions;
            const std::vector<float>& frequencies = angles.frequencies[is_long ? 1 : 0];
            const std::int64_t position = is_long ? row - angles.positions : row;
            for (std::int64_t i = 0; i < count; ++i) {
              const auto pair = static_cast<std::size_t>((first + i) / 2);
              // The angle is rounded to fp32 before the cosine, as the published models were trained.
              out[i] = pair < frequencies.size()
                           ? angles.factor * function(static_cast<float>(position) * frequencies[pair])
                           : angles.still;
            }
          }};
}

} // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, std::int64_t head_dim, SequenceKind kind) {
  const std::int64_t turned = config.turned(head_dim);
  std::vector<float> frequencies;
  for (std::int64_t pair = 0; pair < turned / 2; ++pair) {
    double frequency =
        std::pow(config.theta, -2.0 * static_cast<double>(pair) / static_cast<double>(turned)) / config.linear_factor;
    if (config.llama3) frequency = scaled(frequency, *config.llama3);
    if (const auto& scaling = config.yarn) {
      const double ramp = yarn_ramp(*scaling, config.theta, turned, pair);
      frequency *= ramp / scaling->factor + 1.0 - ramp;
    }
    if (const auto& scaling = config.longrope) {
      const auto& factors = kind == SequenceKind::LONG ? scaling->long_factor : scaling->short_factor;
      frequency /= factors.at(static_cast<std::size_t>(pair));
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

RopeTables::RopeTables(runtime::MeshDevice& device, const RopeConfig& config, std::int64_t head_dim,
                       std::int64_t positions, DataType dtype)
    : positions_(positions), rows_(positions), dtype_(is_block_float(dtype) ? DataType::BFLOAT16 : dtype) {
  if (config.longrope && config.longrope->original_max_positions < positions) {
    longest_short_ = config.longrope->original_max_positions;
    rows_ = 2 * positions;
  }
  const TensorSpec spec{{1, 1, rows_, head_dim}, dtype_, Layout::ROW_MAJOR, kDramInterleaved};
  const auto table = [&](float (*function)(float), float still, std::string_view name) {
    const Angles angles{.frequencies = {rope_frequencies(config, head_dim, SequenceKind::SHORT),
                                        rope_frequencies(config, head_dim, SequenceKind::LONG)},
                        .positions = positions,
                        .head_dim = head_dim,
                        .factor = static_cast<float>(config.attention_factor),
                        .still = still};
    return tensor::from_host(device, angle_rows(angles, rows_, function), spec, tensor::replicate_tensor_to_mesh(),
                             name, tensor::HostMemory::SHARED);
  };
  cos_ = table(std::cos, 1.0F, "rope.cos");
  sin_ = table(std::sin, 0.0F, "rope.sin");
}

RopeTables::Rows RopeTables::look_up(const tensor::Tensor& positions, const MemoryConfig& memory_config) const {
  if (!cos_.defined()) return {};
  const ops::EmbeddingOptions options{.dtype = dtype_, .memory_config = memory_config};
  return {ops::embedding(positions, cos_, options), ops::embedding(positions, sin_, options)};
}

} // namespace tessera::nn
