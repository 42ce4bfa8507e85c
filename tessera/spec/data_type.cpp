#include "tessera/spec/data_type.hpp"

#include <array>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

struct Name {
  DataType dtype;
  std::string_view name;
  std::string_view short_name;
};
constexpr std::array kNames = {
    Name{DataType::FLOAT32, "FLOAT32", "f32"},      Name{DataType::BFLOAT16, "BFLOAT16", "bf16"},
    Name{DataType::BFLOAT8_B, "BFLOAT8_B", "bfp8"}, Name{DataType::BFLOAT4_B, "BFLOAT4_B", "bfp4"},
    Name{DataType::BFLOAT2_B, "BFLOAT2_B", "bfp2"}, Name{DataType::UINT32, "UINT32", "u32"},
    Name{DataType::INT32, "INT32", "i32"},
};

} // namespace

std::string_view to_string(DataType dtype) {
  for (const Name& entry : kNames) {
    if (entry.dtype == dtype) return entry.name;
  }
  return "?";
}

DataType parse_data_type(std::string_view name) {
  for (const Name& entry : kNames) {
    if (entry.name == name || entry.short_name == name) return entry.dtype;
  }
  throw base::InvalidArgument(fmt::format(
      "[dtype] one of f32, bf16, bfp8, bfp4, bfp2, u32, i32 (or TT-NN's names) is required; received \"{}\"", name));
}

} // namespace tessera
