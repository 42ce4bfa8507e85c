#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tessera {

/// Extents of a tensor, outermost first. Rank 0 to 8. Extents are in elements and may be zero.
class Shape {
 public:
  static constexpr std::size_t kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  /// Throws InvalidArgument when the rank exceeds kMaxRank or an extent is negative.
  explicit Shape(std::span<const std::int64_t> extents);

  std::size_t rank() const { return rank_; }
  /// Extent of dimension `dim`; negative counts from the innermost: shape[-1]. REQUIRES: -rank <= dim < rank.
  std::int64_t operator[](int dim) const { return extents_[index(dim)]; }
  /// The same shape with one extent replaced.
  Shape with(int dim, std::int64_t extent) const;
  /// Number of elements: the product of the extents, 1 for rank 0.
  std::int64_t volume() const;
  std::span<const std::int64_t> extents() const { return {extents_.data(), rank_}; }

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::size_t index(int dim) const {
    return dim < 0 ? rank_ - static_cast<std::size_t>(-dim) : static_cast<std::size_t>(dim);
  }

  std::array<std::int64_t, kMaxRank> extents_{};
  std::size_t rank_ = 0;
};

/// "[1, 1, 32, 2048]"
std::string to_string(const Shape& shape);

/// Smallest multiple of `unit` that is at least `value`.
constexpr std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}
constexpr std::int64_t div_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit;
}

} // namespace tessera

template <>
struct fmt::formatter<tessera::Shape> : fmt::formatter<std::string> {
  auto format(const tessera::Shape& shape, format_context& context) const {
    return fmt::formatter<std::string>::format(tessera::to_string(shape), context);
  }
};
