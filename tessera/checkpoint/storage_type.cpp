#include "tessera/checkpoint/storage_type.hpp"

#include <array>
#include <bit>

namespace tessera::checkpoint {
namespace {

struct TypeFacts {
  StorageType type;
  std::string_view name;
  std::size_t size;
};

// In the order of the enumerators, so that an enumerator is an index.
constexpr std::array<TypeFacts, 13> kTypes = {{
    {StorageType::F64, "F64", 8},
    {StorageType::F32, "F32", 4},
    {StorageType::F16, "F16", 2},
    {StorageType::BF16, "BF16", 2},
    {StorageType::I64, "I64", 8},
    {StorageType::I32, "I32", 4},
    {StorageType::I16, "I16", 2},
    {StorageType::I8, "I8", 1},
    {StorageType::U8, "U8", 1},
    {StorageType::U16, "U16", 2},
    {StorageType::U32, "U32", 4},
    {StorageType::U64, "U64", 8},
    {StorageType::BOOL, "BOOL", 1},
}};

} // namespace

std::string_view to_string(StorageType type) {
  return kTypes[static_cast<std::size_t>(type)].name;
}

std::size_t element_size(StorageType type) {
  return kTypes[static_cast<std::size_t>(type)].size;
}

bool is_floating_point(StorageType type) {
  return type == StorageType::F64 || type == StorageType::F32 || type == StorageType::F16 || type == StorageType::BF16;
}

std::optional<StorageType> parse_storage_type(std::string_view name) {
  for (const TypeFacts& facts : kTypes) {
    if (facts.name == name) return facts.type;
  }
  return std::nullopt;
}

std::string storage_type_names() {
  std::string names;
  for (const TypeFacts& facts : kTypes) {
    if (!names.empty()) names += ", ";
    names += facts.name;
  }
  return names;
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    // Zero and subnormals: mantissa * 2^-24, a product that float holds exactly.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  // Biases: 15 in binary16, 127 in binary32; an exponent of all ones stays one.
  const std::uint32_t wide_exponent = exponent == 0x1fu ? 0xffu : exponent + 112u;
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

} // namespace tessera::checkpoint
