#include "tessera/tensor/mesh_part.hpp"

#include <vector>

namespace tessera::tensor {

MeshPart MeshPart::all_of(const Shape& shape) {
  return {shape, Shape(std::vector<std::int64_t>(shape.rank(), 0)), shape};
}

std::int64_t MeshPart::row_in_whole(std::int64_t row) const {
  std::int64_t result = 0;
  std::int64_t step = 1;
  for (int dim = static_cast<int>(shape.rank()) - 2; dim >= 0; --dim) {
    const std::int64_t at = first[dim] + row % shape[dim];
    if (at >= whole[dim]) return -1;
    row /= shape[dim];
    result += at * step;
    step *= whole[dim];
  }
  return result;
}

} // namespace tessera::tensor
