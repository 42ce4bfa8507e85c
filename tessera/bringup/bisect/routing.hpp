#pragma once

#include <cstdint>
#include <vector>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::bringup::bisect {

/// The router of a mixture of experts: each row x goes to the `per_token` experts with the largest x * weight^T.
struct Router {
  tensor::HostTensor weight; ///< [X, E]
  std::int64_t per_token = 2;
};

/// The experts of each row of x [.., E], sorted by their numbers.
std::vector<std::vector<std::int64_t>> chosen_experts(const Router& router, const tensor::HostTensor& x);

/// How far a layer's choice of experts depends on the errors in its input.
struct Flips {
  std::int64_t layer = 0;
  std::int64_t choices = 0; ///< rows times experts of a row
  std::int64_t flipped = 0; ///< choices that the device's own input makes otherwise than the reference's
};

Flips count_flips(std::int64_t layer, const Router& router, const tensor::HostTensor& expected,
                  const tensor::HostTensor& actual);

/// The experts whose rows alone are wrong: none of theirs has an error of `limit` or less, and every wrong row goes to
/// one of them. Empty when the errors do not tell experts apart. `row_errors`: of the rows of x.
std::vector<std::int64_t> wrong_experts(const Router& router, const tensor::HostTensor& x,
                                        const std::vector<double>& row_errors, double limit);

} // namespace tessera::bringup::bisect
