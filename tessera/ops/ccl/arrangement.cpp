#include "tessera/ops/ccl/arrangement.hpp"

namespace tessera::ops {

Arrangement& Arrangement::split(int dim, std::int64_t chips) {
  split_dim_ = dim;
  share_ = input_[dim] / chips;
  output_ = output_.with(dim, share_);
  return *this;
}

Arrangement& Arrangement::concat(int dim, std::int64_t chips) {
  concat_dim_ = dim;
  part_ = output_[dim];
  output_ = output_.with(dim, part_ * chips);
  return *this;
}

std::int64_t Arrangement::matrix_of(std::int64_t matrix, std::int64_t& from_place) const {
  const std::int64_t place = from_place;
  std::int64_t result = 0;
  std::int64_t step = 1;
  for (int dim = static_cast<int>(input_.rank()) - 3; dim >= 0; --dim) {
    std::int64_t from = 0;
    run(dim, place, matrix % output_[dim], 1, from_place, from);
    matrix /= output_[dim];
    result += from * step;
    step *= input_[dim];
  }
  return result;
}

} // namespace tessera::ops
