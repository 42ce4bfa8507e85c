#include "tessera/tensor/tensor.hpp"

#include <algorithm>
#include <iterator>

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
  const auto rows = [](const Shape& of) { return of.rank() >= 2 ? of[-2] : 1; };
  base::require(shape.rank() >= 1 && shape.volume() == spec_.shape.volume() && shape[-1] == spec_.shape[-1] &&
                    (layout() == Layout::ROW_MAJOR || rows(shape) == rows(spec_.shape)),
                "[reshape] the same elements with the same last extent (in TILE layout: the same last two) are "
                "required; received {} for {}",
                shape, to_string(spec_));
  Tensor result = *this;
  result.spec_.shape = shape;
  return result;
}

Tensor Tensor::leading(int dim, std::int64_t count) const {
  const auto extents = shape().extents();
  base::require(
      layout() == Layout::ROW_MAJOR && 0 <= dim && dim < std::ssize(extents) &&
          std::all_of(extents.begin(), extents.begin() + dim, [](std::int64_t extent) { return extent == 1; }),
      "[leading] a ROW_MAJOR tensor and a dimension behind extents of 1 are required; received dimension {} "
      "of {}",
      dim, to_string(spec_));
  base::require(0 < count && count <= shape()[dim], "[leading] 1 to {} are possible in dimension {}; received {}",
                shape()[dim], dim, count);
  Tensor result = *this;
  result.spec_.shape = shape().with(dim, count);
  return result;
}

} // namespace tessera::tensor
