#include "tessera/nn/vision/vision_model.hpp"

#include "tessera/base/error.hpp"

namespace tessera::nn {

FeatureMap VisionModel::allocate_inputs(std::int64_t items_of_copy, std::span<const std::int64_t> extents) const {
  const std::int64_t size = info().image_size;
  base::require(extents.size() == 3 && items_of_copy > 0 && extents[0] == info().channels,
                "[{}] pixel_values must be [N, {}, H, W]; received items of {}", info().family, info().channels,
                Shape(extents));
  base::require(
      extents[1] > 0 && extents[2] > 0 && (info().any_image_size || (extents[1] == size && extents[2] == size)),
      "[{}] images of {}x{} pixels are required; received {}x{}", info().family, size, size, extents[1], extents[2]);
  const TensorSpec spec{{items_of_copy, extents[0], extents[1], extents[2]},
                        activation() == DataType::FLOAT32 ? DataType::FLOAT32 : DataType::BFLOAT16,
                        Layout::ROW_MAJOR,
                        kDramInterleaved};
  return {Tensor::allocate(device(), spec, input_name(info().input)), items_of_copy, {extents[1], extents[2]}};
}

void VisionModel::write_inputs(const FeatureMap& memory, const HostTensor& inputs) const {
  tensor::write_rows(memory.rows, tensor::rows_of(inputs), inputs.shape, over_copies(0, memory.items));
}

} // namespace tessera::nn
