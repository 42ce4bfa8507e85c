#include "tessera/checkpoint/tensor_view.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

/// Reads element `first + i` as a `Stored` into out[i] through `convert`. The data may be unaligned: hence memcpy.
template <typename Stored, typename Out, typename Convert>
void convert_elements(const TensorView& tensor, std::size_t first, std::span<Out> out, Convert convert) {
  const std::byte* from = tensor.data.data() + first * sizeof(Stored);
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
}

template <typename Stored>
float number_to_float(Stored value) {
  return static_cast<float>(value);
}

template <typename Stored>
std::int64_t number_to_int64(Stored value) {
  if constexpr (std::is_same_v<Stored, std::uint64_t>) {
    base::require(value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
                  "[to_int64] values must be at most 2^63-1; received {}; check the file", value);
  }
  return static_cast<std::int64_t>(value);
}

std::uint8_t truth(std::uint8_t value) {
  return value != 0 ? 1 : 0;
}

} // namespace

void copy_as_float(const TensorView& tensor, std::size_t first, std::span<float> out) {
  base::require(first <= tensor.num_elements() && out.size() <= tensor.num_elements() - first,
                "[to_float] the range must lie within the {} elements of {}; received {} elements from {}; shorten it",
                tensor.num_elements(), printable(tensor.name), out.size(), first);
  switch (tensor.dtype) {
    case StorageType::F64:
      return convert_elements<double>(tensor, first, out, number_to_float<double>);
    case StorageType::F32:
      return convert_elements<float>(tensor, first, out, number_to_float<float>);
    case StorageType::F16:
      return convert_elements<std::uint16_t>(tensor, first, out, half_to_float);
    case StorageType::BF16:
      return convert_elements<std::uint16_t>(tensor, first, out, bfloat16_to_float);
    case StorageType::I64:
      return convert_elements<std::int64_t>(tensor, first, out, number_to_float<std::int64_t>);
    case StorageType::I32:
      return convert_elements<std::int32_t>(tensor, first, out, number_to_float<std::int32_t>);
    case StorageType::I16:
      return convert_elements<std::int16_t>(tensor, first, out, number_to_float<std::int16_t>);
    case StorageType::I8:
      return convert_elements<std::int8_t>(tensor, first, out, number_to_float<std::int8_t>);
    case StorageType::U8:
      return convert_elements<std::uint8_t>(tensor, first, out, number_to_float<std::uint8_t>);
    case StorageType::U16:
      return convert_elements<std::uint16_t>(tensor, first, out, number_to_float<std::uint16_t>);
    case StorageType::U32:
      return convert_elements<std::uint32_t>(tensor, first, out, number_to_float<std::uint32_t>);
    case StorageType::U64:
      return convert_elements<std::uint64_t>(tensor, first, out, number_to_float<std::uint64_t>);
    case StorageType::BOOL:
      return convert_elements<std::uint8_t>(tensor, first, out, truth);
  }
}

std::vector<float> to_float(const TensorView& tensor) {
  std::vector<float> values(tensor.num_elements());
  copy_as_float(tensor, 0, values);
  return values;
}

std::vector<std::int64_t> to_int64(const TensorView& tensor) {
  base::require(!is_floating_point(tensor.dtype),
                "[to_int64] tensor {} must hold integers; received {}; store it as I64 or I32", printable(tensor.name),
                to_string(tensor.dtype));
  std::vector<std::int64_t> values(tensor.num_elements());
  const std::span<std::int64_t> out(values);
  switch (tensor.dtype) {
    case StorageType::I64:
      convert_elements<std::int64_t>(tensor, 0, out, number_to_int64<std::int64_t>);
      break;
    case StorageType::I32:
      convert_elements<std::int32_t>(tensor, 0, out, number_to_int64<std::int32_t>);
      break;
    case StorageType::I16:
      convert_elements<std::int16_t>(tensor, 0, out, number_to_int64<std::int16_t>);
      break;
    case StorageType::I8:
      convert_elements<std::int8_t>(tensor, 0, out, number_to_int64<std::int8_t>);
      break;
    case StorageType::U8:
      convert_elements<std::uint8_t>(tensor, 0, out, number_to_int64<std::uint8_t>);
      break;
    case StorageType::U16:
      convert_elements<std::uint16_t>(tensor, 0, out, number_to_int64<std::uint16_t>);
      break;
    case StorageType::U32:
      convert_elements<std::uint32_t>(tensor, 0, out, number_to_int64<std::uint32_t>);
      break;
    case StorageType::U64:
      convert_elements<std::uint64_t>(tensor, 0, out, number_to_int64<std::uint64_t>);
      break;
    case StorageType::BOOL:
      convert_elements<std::uint8_t>(tensor, 0, out, truth);
      break;
    case StorageType::F64:
    case StorageType::F32:
    case StorageType::F16:
    case StorageType::BF16:
      break; // Refused above.
  }
  return values;
}

std::string shape_to_string(std::span<const std::int64_t> shape) {
  constexpr std::size_t kMostDims = 8;
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), kMostDims); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  }
  return text + (shape.size() > kMostDims ? ", ...]" : "]");
}

} // namespace tessera::checkpoint
