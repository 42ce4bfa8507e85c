#include "tessera/tensor/tensor.hpp"

#include "tessera/base/error.hpp"

namespace tessera::tensor {

DeviceView::DeviceView(const runtime::MeshDevice& device, BufferType type, std::int64_t address, const TensorSpec& spec)
    : data_(device.memory(type).at(address)), chip_stride_(device.memory(type).chip_stride()), dtype_(spec.dtype) {
  if (spec.layout == Layout::TILE) {
    tile_rows_ = spec.tile_rows();
    tile_columns_ = spec.tile_columns();
    matrix_bytes_ = tile_rows_ * tile_columns_ * tile_bytes(spec.dtype);
  }
}

Tensor Tensor::allocate(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name) {
  Tensor result;
  result.buffer_ = device.allocate(spec, name);
  result.spec_ = spec;
  return result;
}

Tensor Tensor::reshape(const Shape& shape) const {
  TensorSpec changed = spec_;
  changed.shape = shape;
  const bool same_matrices = layout() == Layout::ROW_MAJOR ? shape[-1] == spec_.shape[-1]
                                                           : changed.tile_rows() == spec_.tile_rows() &&
                                                                 changed.tile_columns() == spec_.tile_columns();
  base::require(shape.volume() == spec_.shape.volume() && same_matrices && changed.num_pages() == spec_.num_pages(),
                "[reshape] a shape with the same rows (or tiles) in the same order is required; received {} for {}",
                shape, to_string(spec_));
  Tensor result = *this;
  result.spec_ = changed;
  return result;
}

} // namespace tessera::tensor
