#include <gtest/gtest.h>

#include "tessera/bringup/bisect/errors.hpp"
#include "tessera/bringup/bisect/precision_file.hpp"
#include "tessera/bringup/bisect/routing.hpp"

namespace tessera::bringup::bisect {
namespace {

using nlohmann::json;

const TensorGroup& group(const std::string& name) {
  for (const TensorGroup& one : tensor_groups()) {
    if (one.name == name) return one;
  }
  throw std::out_of_range(name);
}

TEST(WithFormat, OfAllLayersSetsAsideWhatLayersSay) {
  const nn::Precision precision = nn::make_precision("performance", {.family = "llama", .layers = 4});
  const json file{{"base", "performance"},
                  {"layers", {{"1", {{"ff1_3", "bfp2"}, {"li_ff1_3_decode", "lofi"}, {"ff2", "bf16"}}}}}};
  const json changed = with_format(file, precision, group("ff1_3"), DataType::BFLOAT8_B, 0, 3, 4);
  EXPECT_EQ(changed["ff1_3"], "bfp8");
  EXPECT_EQ(changed["li_ff1_3"], "hifi2fp16"); // LoFi would read half of what BFLOAT8_B holds
  EXPECT_EQ(changed["layers"]["1"], json({{"ff2", "bf16"}}));
}

TEST(WithFormat, OfSomeLayersLeavesTheOthers) {
  const nn::Precision precision = nn::make_precision("bfp4", {.family = "llama", .layers = 4});
  const json changed = with_format({{"base", "bfp4"}}, precision, group("wo"), DataType::FLOAT32, 1, 2, 4);
  EXPECT_EQ(changed, json({{"base", "bfp4"}, {"layers", {{"1", {{"wo", "f32"}}}, {"2", {{"wo", "f32"}}}}}}));
}

TEST(FirstWrongPosition, IsWhereErrorsBegin) {
  const HostTensor right{{1, 4, 2}, {1, 1, 1, 1, 1, 1, 1, 1}};
  HostTensor actual = right;
  EXPECT_EQ(first_wrong_position(right, actual, 0.1), -1);
  actual.data[5] = 2.0F;
  EXPECT_EQ(first_wrong_position(right, actual, 0.1), 2);
  actual.data[0] = 2.0F; // wrong from the beginning: no position stands out
  EXPECT_EQ(first_wrong_position(right, actual, 0.1), -1);
}

TEST(Experts, AreChosenByTheRoutersLargestProducts) {
  const Router router{{{3, 2}, {1, 0, 0, 1, -1, -1}}, 2};
  const HostTensor x{{2, 2}, {2, 1, -3, -2}};
  EXPECT_EQ(chosen_experts(router, x), (std::vector<std::vector<std::int64_t>>{{0, 1}, {1, 2}}));
  const Flips flips = count_flips(0, router, x, {{2, 2}, {2, 1, 3, 2}});
  EXPECT_EQ(flips.choices, 4);
  EXPECT_EQ(flips.flipped, 1);
  EXPECT_EQ(wrong_experts(router, x, {0.0, 1.0}, 0.5), std::vector<std::int64_t>{2});
  EXPECT_TRUE(wrong_experts(router, x, {0.0, 0.0}, 0.5).empty());
}

} // namespace
} // namespace tessera::bringup::bisect
