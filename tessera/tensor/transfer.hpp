#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tessera/spec/op_record.hpp"
#include "tessera/tensor/host_rows.hpp"
#include "tessera/tensor/host_tensor.hpp"
#include "tessera/tensor/mesh_part.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::tensor {

/// What the chips of a mesh are written from: one matrix for all, or for each chip one of the same extents.
class MeshRows {
 public:
  MeshRows(HostRows all) : rows_{std::move(all)} {}
  explicit MeshRows(std::vector<HostRows> of_chips) : rows_(std::move(of_chips)) {}

  const HostRows& operator[](std::int64_t chip) const {
    return rows_[rows_.size() == 1 ? 0 : static_cast<std::size_t>(chip)];
  }

 private:
  std::vector<HostRows> rows_;
};

/// Puts a host matrix on every chip, as `spec` says: rounded to the nearest even of its dtype, tilized and padded with
/// zeros where the layout is TILE. All but the last dimension of spec.shape fold into rows. Returns at once; the work
/// is queued. Throws InvalidArgument when the extents differ.
Tensor from_host(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec, std::string_view name);
/// The same with rows and columns exchanged: device column n is host row n. `spec` must be one TILE matrix. This is how
/// a Linear's weight [N, K] of a checkpoint becomes the [1, 1, K, N] of a matmul.
Tensor from_host_transposed(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec,
                            std::string_view name);
/// The same two for a tensor that is there already, in the queue's order.
void write_rows(const Tensor& tensor, const MeshRows& source);
void write_transposed(const Tensor& tensor, const MeshRows& source);
/// Integers as UINT32 or INT32 ROW_MAJOR.
Tensor from_host(runtime::MeshDevice& device, std::vector<std::int32_t> values, const TensorSpec& spec,
                 std::string_view name);
/// Overwrites an INT32 or UINT32 ROW_MAJOR tensor, in the queue's order. Throws InvalidArgument on another count.
void write(const Tensor& tensor, std::vector<std::int32_t> values);
/// The same, each chip with its part of the values: parts[chip], of the tensor's shape.
void write(const Tensor& tensor, std::vector<std::int32_t> values, std::vector<MeshPart> parts);

/// A tensor of zeros.
Tensor zeros(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name);

/// A read-back that is queued.
template <typename T>
class Read {
 public:
  Read(std::shared_ptr<runtime::MeshDevice> device, std::shared_ptr<T> value)
      : device_(std::move(device)), value_(std::move(value)), event_(device_->record_event(device_->queue().id())) {}

  /// Waits for it and gives what was read; rethrows the first error of its queue. Once only.
  T get() {
    device_->synchronize_event(event_);
    return std::move(*value_);
  }

 private:
  std::shared_ptr<runtime::MeshDevice> device_;
  std::shared_ptr<T> value_; // shared with the program that fills it
  runtime::Event event_;
};

/// Reads a tensor of one chip back as fp32, without padding: in the order of the current queue, without waiting. Where
/// several ranks run the mesh, each of them gets it.
/// Throws Unsupported in record mode, where there is no data.
Read<HostTensor> begin_read(const Tensor& tensor, std::int64_t chip = 0);
/// The same for INT32 and UINT32 ROW_MAJOR.
Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, std::int64_t chip = 0);
/// What one chip gives to a tensor that is read from several.
struct ChipPart {
  std::int64_t chip = 0;
  MeshPart part; ///< of the shape of the chip's tensor
};
/// The same two from several chips, into one tensor of the parts' common `whole`.
Read<HostTensor> begin_read(const Tensor& tensor, std::vector<ChipPart> parts);
Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, std::vector<ChipPart> parts);
/// Reads of one chip, waited for.
HostTensor to_host(const Tensor& tensor, std::int64_t chip = 0);
std::vector<std::int32_t> to_host_integers(const Tensor& tensor, std::int64_t chip = 0);

/// Decodes an operand from inside an observer's callback, while it is live. Throws Unsupported in record mode, and for
/// a chip of another rank.
HostTensor read_operand(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip = 0);

} // namespace tessera::tensor
