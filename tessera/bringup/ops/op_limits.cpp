#include "tessera/bringup/ops/op_limits.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/block_float.hpp"

namespace tessera::bringup {
namespace {

/// fp32 arithmetic on exact products, in any order, and functions within a few units of its last place.
constexpr double kFp32 = 0x1p-16;
/// Probabilities of an attention are rounded to bfloat16 before they meet the values.
constexpr double kBf16Probabilities = 0x1p-8;
/// linear's bound for BFLOAT4_B weights at LoFi, which are multiplied as 8-bit integers (linear.hpp: about 1 %).
constexpr double kInt8 = 0.02;

// Exact numerics: the card's own loss, by what its units keep (docs/numerics.md). Two to three times the most that the
// demo models and random operands showed (tests/bringup/op_comparison_test.cpp).
constexpr double kLoFi = 0x1p-5;           ///< the operands' 5 and 7 upper bits, truncated
constexpr double kHiFi2 = 0x1p-6;          ///< all but the last bits of one operand
constexpr double kHiFi4 = 0x1p-7;          ///< steps between products that are packed
constexpr double kSixteenBitSums = 0x1p-6; ///< what a 16-bit Dst drops at each partial sum
constexpr double kSteps = 0x1p-7;          ///< steps that are packed to bfloat16, the vector unit's approximations

/// In exact numerics a maximum passes through source registers, which hold less than fp32.
bool is_movement(std::string_view op, runtime::Numerics numerics) {
  if (op == "max_pool2d") return numerics == runtime::Numerics::NATIVE;
  constexpr std::array<std::string_view, 20> kOps{"copy",
                                                  "to_memory_config",
                                                  "interleaved_to_sharded",
                                                  "sharded_to_interleaved",
                                                  "reshard",
                                                  "slice",
                                                  "concat",
                                                  "fold",
                                                  "embedding",
                                                  "all_gather",
                                                  "nlp_create_qkv_heads",
                                                  "all_broadcast",
                                                  "nlp_create_qkv_heads_decode",
                                                  "all_to_all",
                                                  "nlp_concat_heads",
                                                  "point_to_point",
                                                  "nlp_concat_heads_decode",
                                                  "mesh_partition",
                                                  "paged_fill_cache",
                                                  "paged_update_cache"};
  return std::find(kOps.begin(), kOps.end(), op) != kOps.end();
}

bool is_product(std::string_view op) {
  return op == "linear" || op == "grouped_linear" || op == "conv2d";
}

bool is_attention(std::string_view op) {
  return op == "scaled_dot_product_attention" || op == "paged_scaled_dot_product_attention_decode";
}

bool all_float32(const OpRecord& record) {
  return std::all_of(record.inputs.begin(), record.inputs.end(), [](const OperandRecord& input) {
    return input.spec.dtype == DataType::FLOAT32 || is_integer(input.spec.dtype);
  });
}

bool has_narrow_weight(const OpRecord& record) {
  return std::any_of(record.inputs.begin(), record.inputs.end(), [](const OperandRecord& input) {
    return input.name == "weight" &&
           (input.spec.dtype == DataType::BFLOAT4_B || input.spec.dtype == DataType::BFLOAT2_B);
  });
}

double native_limit(const OpRecord& record) {
  if (is_attention(record.name)) return all_float32(record) ? kFp32 : kBf16Probabilities;
  const bool int8 = is_product(record.name) && record.work.fidelity == MathFidelity::LoFi && has_narrow_weight(record);
  return int8 ? kInt8 : kFp32;
}

/// Whether the record says that sums are kept in 16 bits.
bool has_narrow_sums(const OpRecord& record) {
  return std::any_of(record.attributes.begin(), record.attributes.end(), [](const auto& attribute) {
    return attribute.first == "fp32_dest_acc_en" && attribute.second == AttributeValue(false);
  });
}

double exact_limit(const OpRecord& record) {
  if (!is_product(record.name) && !is_attention(record.name)) return kSteps;
  const double sums = has_narrow_sums(record) ? kSixteenBitSums : 0.0;
  switch (record.work.fidelity) {
    case MathFidelity::LoFi:
      return sums + kLoFi;
    case MathFidelity::HiFi2:
      return sums + kHiFi2;
    default:
      return sums + kHiFi4;
  }
}

} // namespace

void round_to_format(DataType dtype, std::int64_t width, std::span<float> values) {
  if (dtype == DataType::BFLOAT16) {
    for (float& value : values) value = numerics::from_bfloat16(numerics::to_bfloat16(value));
  }
  if (!is_block_float(dtype)) return;
  const auto row = static_cast<std::size_t>(width);
  for (std::size_t first = 0; first < values.size(); first += row) {
    for (std::size_t column = 0; column < row; column += kFaceWidth) {
      const std::span<float> own = values.subspan(first + column, std::min<std::size_t>(kFaceWidth, row - column));
      std::array<float, kFaceWidth> group{};
      std::copy(own.begin(), own.end(), group.begin());
      const numerics::BlockGroup packed = numerics::pack_group(dtype, group);
      for (std::size_t i = 0; i < own.size(); ++i)
        own[i] = numerics::unpack_element(dtype, packed.codes[i], packed.exponent);
    }
  }
}

double arithmetic_limit(const OpRecord& record, runtime::Numerics numerics) {
  if (is_movement(record.name, numerics)) return 0.0;
  return numerics == runtime::Numerics::NATIVE ? native_limit(record) : exact_limit(record);
}

double rounding_margin(const OpRecord& record, runtime::Numerics numerics) {
  // Values next to a tie may fall to either side.
  constexpr double kNearest = 1.25;
  // The card's packer rounds block formats twice, or truncates them; a sum over chips is packed at each hop.
  constexpr double kPacker = 2.0;
  if (numerics == runtime::Numerics::NATIVE) return kNearest;
  double hops = 1.0;
  if (record.name == "all_reduce" || record.name == "reduce_scatter") {
    for (const auto& [name, value] : record.attributes) {
      if (name == "num_devices") hops = static_cast<double>(std::get<std::int64_t>(value));
    }
  }
  return kPacker * hops;
}

} // namespace tessera::bringup
