#include "tessera/spec/compute_config.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(DefaultComputeConfig, SpendsAsManyPhasesAsTheWeightsHaveBits) {
  EXPECT_EQ(default_compute_config(DataType::FLOAT32).math_fidelity, MathFidelity::HiFi4);
  EXPECT_EQ(default_compute_config(DataType::BFLOAT16).math_fidelity, MathFidelity::HiFi4);
  EXPECT_EQ(default_compute_config(DataType::BFLOAT8_B).math_fidelity, MathFidelity::HiFi2);
  EXPECT_EQ(default_compute_config(DataType::BFLOAT4_B).math_fidelity, MathFidelity::LoFi);
  EXPECT_EQ(default_compute_config(DataType::BFLOAT2_B).math_fidelity, MathFidelity::LoFi);
}

TEST(DefaultComputeConfig, AccumulatesInFp32) {
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    EXPECT_TRUE(default_compute_config(dtype).fp32_dest_acc_en) << to_string(dtype);
  }
}

TEST(MathFidelity, PrintsAsTtNnSpellsIt) {
  EXPECT_EQ(to_string(MathFidelity::LoFi), "LoFi");
  EXPECT_EQ(to_string(MathFidelity::HiFi2), "HiFi2");
  EXPECT_EQ(to_string(MathFidelity::HiFi3), "HiFi3");
  EXPECT_EQ(to_string(MathFidelity::HiFi4), "HiFi4");
}

} // namespace
} // namespace tessera
