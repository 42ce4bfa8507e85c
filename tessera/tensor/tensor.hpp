#pragma once

#include <memory>
#include <string_view>

#include "tessera/kernels/kernels.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera::tensor {

/// A tensor's bytes as kernels see them: plain addresses that stay valid for all work queued before the tensor's memory
/// is used again. Copied into programs.
class DeviceView {
 public:
  DeviceView() = default;
  DeviceView(const runtime::HostBytes& bytes, const TensorSpec& spec);

  /// Matrix number `matrix` of a TILE tensor on one chip.
  kernels::Tiles tiles(std::int64_t chip, std::int64_t matrix = 0) const {
    return {bytes(chip) + matrix * matrix_bytes_, dtype_, tile_rows_, tile_columns_};
  }
  /// The tensor's first byte on one chip; chips that share their bytes have the same.
  std::byte* bytes(std::int64_t chip) const { return bytes_.of(chip); }
  /// Elements of a ROW_MAJOR tensor on one chip. REQUIRES: T is the dtype's C++ type.
  template <typename T>
  T* elements(std::int64_t chip) const {
    return reinterpret_cast<T*>(bytes(chip));
  }
  DataType dtype() const { return dtype_; }

 private:
  runtime::HostBytes bytes_;
  std::int64_t matrix_bytes_ = 0;
  DataType dtype_ = DataType::BFLOAT16;
  std::int64_t tile_rows_ = 0;
  std::int64_t tile_columns_ = 0;
};

/// A tensor in device memory: every chip of the mesh holds one of the same spec. A cheap handle; the memory is freed
/// with the last one, and used again by later work of the queue.
class Tensor {
 public:
  Tensor() = default;
  /// Memory for a tensor, not initialised. `name` labels it in memory reports. Throws OutOfMemory, InvalidArgument.
  static Tensor allocate(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name);
  /// The same for what no op writes to, such as weights: chips that hold the same share host memory. A tensor like this
  /// is filled by from_host's kind of write; of the chips that share a block, one writes it.
  static Tensor allocate(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name,
                         const runtime::Sharing& sharing);
  /// A tensor of `device` that holds what `original` holds, in the same host memory: the weights of a replica on
  /// another submesh. It takes memory of the card as any other. Waits for what is queued on the original's device.
  /// Throws InvalidArgument unless both devices have meshes of one shape.
  static Tensor share(runtime::MeshDevice& device, const Tensor& original, std::string_view name);

  bool defined() const { return buffer_ != nullptr; }
  const TensorSpec& spec() const { return spec_; }
  const Shape& shape() const { return spec_.shape; }
  DataType dtype() const { return spec_.dtype; }
  Layout layout() const { return spec_.layout; }
  const MemoryConfig& memory_config() const { return spec_.memory_config; }
  runtime::MeshDevice& device() const { return buffer_->device(); }
  std::int64_t address() const { return buffer_->address(); }

  /// For a program of the device's current queue: the memory counts as used by it.
  DeviceView view() const {
    buffer_->note_use();
    return {buffer_->bytes(), spec_};
  }
  const runtime::HostBytes& host_bytes() const { return buffer_->bytes(); }
  /// Which chips read the same host memory.
  const runtime::Sharing& sharing() const { return buffer_->bytes().sharing; }
  /// Whether other chips or another device read the same host memory: no op may write to it.
  bool is_shared() const { return buffer_->is_shared(); }
  /// Whether share() made it.
  bool is_alias() const { return buffer_->is_alias(); }
  OperandRecord record(std::string_view name) const { return {std::string(name), spec_, address()}; }

  /// The same memory under another shape. No byte moves: in ROW_MAJOR the last extent stays, in TILE the last two do
  /// (a missing row dimension counts as 1). Throws InvalidArgument otherwise.
  Tensor reshape(const Shape& shape) const;
  /// The first `count` of dimension `dim` of an interleaved ROW_MAJOR tensor, in the same memory. Throws
  /// InvalidArgument for another layout or count, and unless all extents before `dim` are 1.
  Tensor leading(int dim, std::int64_t count) const;
  /// Lets replays of traces overwrite it: for what is read before the next replay, or never.
  void acknowledge_corruptible() const { buffer_->acknowledge_corruptible(); }

 private:
  Tensor(std::shared_ptr<runtime::Buffer> buffer, const TensorSpec& spec);

  std::shared_ptr<runtime::Buffer> buffer_;
  TensorSpec spec_;
};

} // namespace tessera::tensor
