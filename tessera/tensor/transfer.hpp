#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tessera/spec/op_record.hpp"
#include "tessera/tensor/host_tensor.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::tensor {

/// A matrix on the host that is read in pieces, so that a tensor larger than memory, or one put together from several,
/// can be converted straight into device memory. Its functions are called from several threads at once and must own
/// what they read from.
struct HostRows {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// `read(row, first, count, out)` writes elements (row, first .. first+count) as fp32.
  std::function<void(std::int64_t row, std::int64_t first, std::int64_t count, float* out)> read;
  /// For values that are bfloat16, the quick way: where a whole row lies. That may be `scratch`, which has room for a
  /// row and is written then. Empty for other values.
  std::function<const std::byte*(std::int64_t row, std::byte* scratch)> bf16_row;
  /// All that bf16_row gives lies in a mapped file. Its pages are fetched in long runs, and let go once converted: a
  /// checkpoint passes through the process without adding to its memory.
  bool mapped = false;
};

/// Rows over a host tensor, which it owns: all but the last dimension folded.
HostRows rows_of(HostTensor tensor);

/// Puts a host matrix on every chip, as `spec` says: rounded to the nearest even of its dtype, tilized and padded with
/// zeros where the layout is TILE. All but the last dimension of spec.shape fold into rows. Returns at once; the work
/// is queued. Throws InvalidArgument when the extents differ.
Tensor from_host(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec, std::string_view name);
/// The same with rows and columns exchanged: device column n is host row n. `spec` must be one TILE matrix. This is how
/// a Linear's weight [N, K] of a checkpoint becomes the [1, 1, K, N] of a matmul.
Tensor from_host_transposed(runtime::MeshDevice& device, const HostRows& source, const TensorSpec& spec,
                            std::string_view name);
/// The same two for a tensor that is there already, in the queue's order.
void write_rows(const Tensor& tensor, const HostRows& source);
void write_transposed(const Tensor& tensor, const HostRows& source);
/// Integers as UINT32 or INT32 ROW_MAJOR.
Tensor from_host(runtime::MeshDevice& device, std::vector<std::int32_t> values, const TensorSpec& spec,
                 std::string_view name);
/// Overwrites an INT32 or UINT32 ROW_MAJOR tensor, in the queue's order. Throws InvalidArgument on another count.
void write(const Tensor& tensor, std::vector<std::int32_t> values);

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

/// Reads a tensor of one chip back as fp32, without padding: in the order of the current queue, without waiting.
/// Throws Unsupported in record mode, where there is no data.
Read<HostTensor> begin_read(const Tensor& tensor, std::int64_t chip = 0);
/// The same for INT32 and UINT32 ROW_MAJOR.
Read<std::vector<std::int32_t>> begin_read_integers(const Tensor& tensor, std::int64_t chip = 0);
/// The same two, waited for.
HostTensor to_host(const Tensor& tensor, std::int64_t chip = 0);
std::vector<std::int32_t> to_host_integers(const Tensor& tensor, std::int64_t chip = 0);

/// Decodes an operand from inside an observer's callback, while it is live. Throws Unsupported in record mode.
HostTensor read_operand(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip = 0);

} // namespace tessera::tensor
