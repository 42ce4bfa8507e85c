#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::checkpoint {

/// Element types of a safetensors file, spelt as the file spells them. All are little-endian.
enum class StorageType { F64, F32, F16, BF16, I64, I32, I16, I8, U8, U16, U32, U64, BOOL };

std::string_view to_string(StorageType type);
/// Bytes of one element.
std::size_t element_size(StorageType type);
bool is_floating_point(StorageType type);

/// The type that a file spells as `name`, or nothing when it is none of the above.
std::optional<StorageType> parse_storage_type(std::string_view name);
/// "F64, F32, ...": for error texts.
std::string storage_type_names();

/// IEEE binary16 to float: exact, subnormals, infinities and NaN payloads kept.
float half_to_float(std::uint16_t bits);
/// bfloat16 to float: exact, it is the upper half of a float.
float bfloat16_to_float(std::uint16_t bits);

} // namespace tessera::checkpoint
