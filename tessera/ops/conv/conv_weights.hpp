#pragma once

#include <cstdint>

#include "tessera/ops/sliding_window.hpp"
#include "tessera/tensor/host_rows.hpp"

namespace tessera::ops {

/// Which input channels the columns of a convolution's weight meet. A column of tiles, 32 output channels, reads the
/// channels of the groups that it belongs to, as many for each column of tiles: with one group all of them, with as
/// many groups as channels 32. Weights of other groups are zeros.
class ConvChannels {
 public:
  /// Throws InvalidArgument unless `groups` divides both.
  ConvChannels(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups);

  std::int64_t in_channels() const { return in_; }
  std::int64_t out_channels() const { return out_; }
  std::int64_t groups() const { return groups_; }
  std::int64_t of_group() const { return in_ / groups_; }
  /// Channels as they are stored: an even number, since products of bfloat16 come in pairs.
  std::int64_t padded() const { return in_ + in_ % 2; }
  /// Channels that a column of tiles reads, an even number.
  std::int64_t span() const { return span_; }
  /// The first of them, an even number.
  std::int64_t first(std::int64_t tile_column) const;
  /// The first channel of the group of an output channel.
  std::int64_t first_of_output(std::int64_t out_channel) const { return out_channel / (out_ / groups_) * of_group(); }

 private:
  std::int64_t in_;
  std::int64_t out_;
  std::int64_t groups_;
  std::int64_t span_;
};

/// A convolution's weight as conv2d takes it, prepared once: from the rows of a checkpoint's [O, C / groups, kh, kw],
/// [O, C / groups * kh * kw], to the rows [O, K] of its transpose, K = kh * kw * span() in the order (kh, kw, channel),
/// so that tensor::from_host_transposed gives the device's [1, 1, K, O]. Throws InvalidArgument for other extents.
tensor::HostRows prepare_conv_weights(const tensor::HostRows& weight, const ConvChannels& channels,
                                      const Extent2d& kernel_size);

/// The weight [O, C * sh * sw, h', w'] by which a convolution of folded images (fold with the convolution's stride and
/// padding), stride 1 and no padding, gives what `weight` [O, C, h, w] gives with stride sh x sw: h' = ceil(h / sh),
/// channels in the order (dy, dx, c). Rows are O in both.
tensor::HostRows fold_conv_weights(const tensor::HostRows& weight, std::int64_t channels, const Extent2d& kernel_size,
                                   const Extent2d& stride);

/// A batch norm that follows a convolution, with the statistics of its training: 1 x O each (Ioffe and Szegedy, "Batch
/// Normalization").
struct BatchNorm {
  tensor::HostRows weight;
  tensor::HostRows bias;
  tensor::HostRows running_mean;
  tensor::HostRows running_var;
  float epsilon = 1e-5F;
};
/// The same as part of the convolution: weight * s and bias - mean * s with s = gamma / sqrt(variance + epsilon), in
/// double precision, rounded once.
struct FoldedConv {
  tensor::HostRows weight; ///< [O, ...]
  tensor::HostRows bias;   ///< 1 x O
};
FoldedConv fold_batch_norm(const tensor::HostRows& weight, const BatchNorm& norm);

} // namespace tessera::ops
