#include "tessera/ops/conv/conv_weights.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

using tensor::HostRows;

/// Rows of `columns` values made of those of `source`, one of each: fill(row of source, row, made), which is zeros
/// before. Made at once: tiles read a row in many pieces.
template <typename Fill>
HostRows made_of_rows(const HostRows& source, std::int64_t columns, const Fill& fill) {
  if (!source.read) return {.rows = source.rows, .columns = columns};
  tensor::HostTensor made{{source.rows, columns}, std::vector<float>(static_cast<std::size_t>(source.rows * columns))};
  std::vector<float> from(static_cast<std::size_t>(source.columns));
  for (std::int64_t row = 0; row < source.rows; ++row) {
    source.read(row, 0, source.columns, from.data());
    fill(from.data(), row, made.data.data() + row * columns);
  }
  return tensor::rows_of(std::move(made));
}

} // namespace

ConvChannels::ConvChannels(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups)
    : in_(in_channels), out_(out_channels), groups_(groups), span_(0) {
  base::require(in_ > 0 && out_ > 0 && groups_ > 0 && in_ % groups_ == 0 && out_ % groups_ == 0,
                "[conv2d] groups must divide in_channels and out_channels; received {}, {} and {}", groups_, in_, out_);
  for (std::int64_t column = 0; column < div_up(out_, kTileWidth); ++column) {
    const std::int64_t last = std::min((column + 1) * kTileWidth, out_) - 1;
    const std::int64_t first = first_of_output(column * kTileWidth) / 2 * 2;
    span_ = std::max(span_, round_up(first_of_output(last) + of_group() - first, 2));
  }
}

std::int64_t ConvChannels::first(std::int64_t tile_column) const {
  return std::min(first_of_output(tile_column * kTileWidth) / 2 * 2, padded() - span_);
}

HostRows prepare_conv_weights(const HostRows& weight, const ConvChannels& channels, const Extent2d& kernel_size) {
  const std::int64_t taps = kernel_size.height * kernel_size.width;
  base::require(weight.rows == channels.out_channels() && weight.columns == channels.of_group() * taps,
                "[prepare_conv_weights] {} rows of {} values are required; received {} rows of {}",
                channels.out_channels(), channels.of_group() * taps, weight.rows, weight.columns);
  return made_of_rows(weight, taps * channels.span(), [channels, taps](const float* from, std::int64_t row, float* to) {
    const std::int64_t shift = channels.first_of_output(row) - channels.first(row / kTileWidth);
    for (std::int64_t c = 0; c < channels.of_group(); ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap) to[tap * channels.span() + shift + c] = from[c * taps + tap];
    }
  });
}

HostRows fold_conv_weights(const HostRows& weight, std::int64_t channels, const Extent2d& kernel_size,
                           const Extent2d& stride) {
  base::require(weight.columns == channels * kernel_size.height * kernel_size.width,
                "[fold_conv_weights] rows of {} values are required; received {}",
                channels * kernel_size.height * kernel_size.width, weight.columns);
  const Extent2d folded{div_up(kernel_size.height, stride.height), div_up(kernel_size.width, stride.width)};
  const std::int64_t taps = folded.height * folded.width;
  return made_of_rows(weight, channels * stride.height * stride.width * taps,
                      [channels, kernel_size, stride, folded, taps](const float* from, std::int64_t, float* to) {
                        for (std::int64_t c = 0; c < channels; ++c) {
                          for (std::int64_t y = 0; y < kernel_size.height; ++y) {
                            for (std::int64_t x = 0; x < kernel_size.width; ++x) {
                              const std::int64_t channel =
                                  (y % stride.height * stride.width + x % stride.width) * channels + c;
                              to[channel * taps + y / stride.height * folded.width + x / stride.width] =
                                  from[(c * kernel_size.height + y) * kernel_size.width + x];
                            }
                          }
                        }
                      });
}

FoldedConv fold_batch_norm(const HostRows& weight, const BatchNorm& norm) {
  const std::int64_t channels = weight.rows;
  for (const HostRows* row : {&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var}) {
    base::require(row->rows == 1 && row->columns == channels,
                  "[fold_batch_norm] 1x{} values each are required; received {}x{}", channels, row->rows, row->columns);
  }
  const HostRows no_data{.rows = 1, .columns = channels};
  if (!weight.read || !norm.weight.read) return {{.rows = channels, .columns = weight.columns}, no_data};
  const auto read = [channels](const HostRows& row) {
    std::vector<float> values(static_cast<std::size_t>(channels));
    row.read(0, 0, channels, values.data());
    return values;
  };
  const std::vector<float> gamma = read(norm.weight);
  const std::vector<float> beta = read(norm.bias);
  const std::vector<float> mean = read(norm.running_mean);
  const std::vector<float> variance = read(norm.running_var);
  std::vector<double> scales;
  tensor::HostTensor bias{{1, channels}, {}};
  for (std::size_t i = 0; i < gamma.size(); ++i) {
    scales.push_back(double{gamma[i]} / std::sqrt(double{variance[i]} + double{norm.epsilon}));
    bias.data.push_back(static_cast<float>(double{beta[i]} - double{mean[i]} * scales.back()));
  }
  HostRows scaled =
      made_of_rows(weight, weight.columns, [&scales, &weight](const float* from, std::int64_t row, float* to) {
        const double scale = scales[static_cast<std::size_t>(row)];
        std::transform(from, from + weight.columns, to,
                       [scale](float value) { return static_cast<float>(double{value} * scale); });
      });
  return {std::move(scaled), tensor::rows_of(std::move(bias))};
}

} // namespace tessera::ops
