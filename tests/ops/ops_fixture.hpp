#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/op.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::ops {

using tensor::HostTensor;
using tensor::to_host;
using test::bits_of;
using test::integers_to_device;
using test::random_values;
using test::rounded;
using test::to_device;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Half an ulp of fp32, relative.
inline constexpr double kHalfUlp = 0x1p-24;

/// An element computed in double precision, and how far fp32 arithmetic in any order may be from it.
struct Expected {
  double value = 0;
  double fp32_error = 0;
};

/// What rounding to `dtype` may add to an element. BFLOAT16 has 8 significant bits: half an ulp is 2^-9 of the value,
/// and a value near a tie may fall to the other side, so 2^-8. A block format with m magnitude bits steps by 2^(1-m)
/// times the power of two below the group's largest; one whole step covers the half that rounding takes, the bits that
/// the alignment shift drops and the saturation of the largest.
inline double format_error(DataType dtype, double value, double group_maximum) {
  switch (dtype) {
    case DataType::BFLOAT16:
      return 0x1p-8 * std::fabs(value);
    case DataType::BFLOAT8_B:
      return 0x1p-6 * group_maximum;
    case DataType::BFLOAT4_B:
      return 0x1p-2 * group_maximum;
    case DataType::BFLOAT2_B:
      return group_maximum;
    default:
      return kHalfUlp * std::fabs(value);
  }
}

/// Compares each element within its fp32 error and the error of the output's format.
inline void expect_close(const HostTensor& actual, const std::vector<Expected>& expected, DataType dtype) {
  ASSERT_EQ(actual.data.size(), expected.size());
  const auto width = static_cast<std::size_t>(actual.shape[-1]);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // The group is what shares a face row: 16 neighbours from a multiple of 16, within the row.
    const std::size_t column = i % width;
    const std::size_t first = i - column % kFaceWidth;
    const std::size_t last = std::min(first + kFaceWidth, i - column + width);
    double maximum = 0;
    for (std::size_t j = first; j < last; ++j)
      maximum = std::max(maximum, std::fabs(expected[j].value) + expected[j].fp32_error);
    const double tolerance = expected[i].fp32_error + format_error(dtype, expected[i].value, maximum) + 1e-37;
    ASSERT_NEAR(actual.data[i], expected[i].value, tolerance) << "element " << i << " of " << actual.shape;
  }
}

/// All bytes of padding rows and columns must be those of zeros: reads the padded matrix.
inline void expect_zero_padding(const Tensor& tensor, std::int64_t chip = 0) {
  tensor.device().synchronize();
  const TensorSpec& spec = tensor.spec();
  const std::int64_t rows = spec.shape[-2];
  const std::int64_t columns = spec.shape[-1];
  std::vector<float> row(static_cast<std::size_t>(spec.tile_columns() * kTileWidth));
  for (std::int64_t matrix = 0; matrix < spec.num_matrices(); ++matrix) {
    for (std::int64_t i = 0; i < spec.tile_rows() * kTileHeight; ++i) {
      kernels::kernels().load_row(tensor.view().tiles(chip, matrix), i, 0, spec.tile_columns() * kTileWidth,
                                  row.data());
      const auto first = static_cast<std::ptrdiff_t>(i < rows ? columns : 0);
      ASSERT_TRUE(std::all_of(row.begin() + first, row.end(), [](float value) { return value == 0.0F; }))
          << "row " << i << " of matrix " << matrix << " of " << spec.shape;
    }
  }
}

/// Keeps the records of all ops.
class RecordKeeper : public runtime::QueueObserver {
 public:
  explicit RecordKeeper(runtime::MeshDevice& device) : device_(device) { device_.add_observer(*this); }
  ~RecordKeeper() override { device_.remove_observer(*this); }
  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun&) override {
    records.push_back(record);
  }

  std::vector<OpRecord> records;

 private:
  runtime::MeshDevice& device_;
};

inline std::vector<std::string> names_of(const std::vector<OperandRecord>& operands) {
  std::vector<std::string> names;
  for (const OperandRecord& operand : operands) names.push_back(operand.name);
  return names;
}

/// Heads of decode, [1, B, H, D], as its ops want them: each user's on a core.
inline Tensor by_users(const Tensor& heads) {
  return to_memory_config(heads, kL1HeightSharded);
}

class OpsTest : public testing::Test {
 protected:
  std::shared_ptr<runtime::MeshDevice> device = runtime::MeshDevice::open({.threads = 2});

  /// Uploads values so that memory which held something else lies under whatever is allocated next: an op that leaves
  /// its padding unwritten is found out.
  Tensor upload(const HostTensor& values, DataType dtype, const MemoryConfig& place = kDramInterleaved) const {
    { const Tensor junk = to_device(*device, {{1, 1, 320, 320}, std::vector<float>(320 * 320, 7.0F)}, dtype, place); }
    return to_device(*device, values, dtype, place);
  }
  Tensor random(const Shape& shape, std::uint32_t seed, DataType dtype = DataType::BFLOAT16) const {
    return upload(random_values(shape, seed), dtype);
  }
};

inline const auto kFloatFormats = testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B,
                                                  DataType::BFLOAT4_B, DataType::BFLOAT2_B);

/// Expects that the expression throws InvalidArgument with this part of a text.
#define EXPECT_INVALID(expression, part) \
  EXPECT_THAT([&] { expression; }, ThrowsMessage<base::InvalidArgument>(HasSubstr(part)))

} // namespace tessera::ops
