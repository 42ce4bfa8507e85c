#include "tessera/tensor/tensor.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::tensor {

DeviceView::DeviceView(const runtime::HostBytes& bytes, const TensorSpec& spec) : bytes_(bytes), dtype_(spec.dtype) {
  if (spec.layout == Layout::TILE) {
    tile_rows_ = spec.tile_rows();
    tile_columns_ = spec.tile_columns();
    matrix_bytes_ = tile_rows_ * tile_columns_ * tile_bytes(spec.dtype);
  }
}

Tensor::Tensor(std::shared_ptr<runtime::Buffer> buffer, const TensorSpec& spec)
    : buffer_(std::move(buffer)), spec_(spec) {}

Tensor Tensor::allocate(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name) {
  return {device.allocate(spec, name), spec};
}

Tensor Tensor::allocate(runtime::MeshDevice& device, const TensorSpec& spec, std::string_view name,
                        const runtime::Sharing& sharing) {
  return {device.allocate(spec, name, sharing), spec};
}

Tensor Tensor::share(runtime::MeshDevice& device, const Tensor& original, std::string_view name) {
  base::require(original.defined(), "[share] a tensor to share is required for {}; received none", name);
  return {device.allocate_alias(original.spec(), name, original.buffer_), original.spec()};
}

Tensor Tensor::reshape(const Shape& shape) const {
  const auto rows = [](const Shape& of) { return of.rank() >= 2 ? of[-2] : 1; };
  base::require(shape.rank() >= 1 && shape.volume() == spec_.shape.volume() && shape[-1] == spec_.shape[-1] &&
                    (layout() == Layout::ROW_MAJOR || rows(shape) == rows(spec_.shape)),
                "[reshape] the same elements with the same last extent (in TILE layout: the same last two) are "
                "required; received {} for {}",
                shape, spec_);
  Tensor result = *this;
  result.spec_.shape = shape;
  return result;
}

Tensor Tensor::leading(int dim, std::int64_t count) const {
  const auto extents = shape().extents();
  base::require(
      layout() == Layout::ROW_MAJOR && !memory_config().is_sharded() && 0 <= dim && dim < std::ssize(extents) &&
          std::all_of(extents.begin(), extents.begin() + dim, [](std::int64_t extent) { return extent == 1; }),
      "[leading] an interleaved ROW_MAJOR tensor and a dimension behind extents of 1 are required; received dimension "
      "{} "
      "of {}",
      dim, spec_);
  base::require(0 < count && count <= shape()[dim], "[leading] 1 to {} are possible in dimension {}; received {}",
                shape()[dim], dim, count);
  Tensor result = *this;
  result.spec_.shape = shape().with(dim, count);
  return result;
}

} // namespace tessera::tensor
