#include "tessera/image/preprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/image/picture_files.hpp"

namespace tessera::image {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

Preprocessing read(const char* text) {
  const auto json = nlohmann::json::parse(text);
  return read_preprocessing(checkpoint::ConfigReader(json));
}

TEST(Preprocess, ReadsWhatViTHas) {
  const Preprocessing p = read(R"({"image_processor_type": "ViTImageProcessor", "do_resize": true, "do_rescale": true,
      "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2,
      "rescale_factor": 0.00392156862745098, "size": {"height": 8, "width": 6}})");
  const Pixels pixels = preprocess(test::random_picture(20, 30), p);
  EXPECT_EQ(pixels.height, 8);
  EXPECT_EQ(pixels.width, 6);
  EXPECT_EQ(pixels.values.size(), 3U * 8 * 6);
  const Pixels white = preprocess({2, 2, std::vector<std::uint8_t>(12, 255)}, p);
  EXPECT_THAT(white.values, testing::Each(testing::FloatEq(1.0F)));
}

TEST(Preprocess, ReadsTheSizesOfOlderFiles) {
  const Preprocessing square = read(R"({"size": 10, "do_center_crop": true, "crop_size": 4})");
  EXPECT_EQ(square.resize->height, 10);
  EXPECT_EQ(square.resize->width, 10);
  EXPECT_EQ(square.crop_height, 4);
  EXPECT_FALSE(read(R"({"do_resize": false, "size": 10})").resize.has_value());
}

TEST(Preprocess, OfConvNextCropsBelow384AndPressesFromThereOn) {
  const Preprocessing small =
      read(R"({"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "size": {"shortest_edge": 14}})");
  EXPECT_EQ(small.resize->shortest_edge, 16);
  const Pixels pixels = preprocess(test::random_picture(40, 60), small);
  EXPECT_EQ(pixels.height, 14);
  EXPECT_EQ(pixels.width, 14);
  const Preprocessing large =
      read(R"({"image_processor_type": "ConvNextFeatureExtractor", "size": 384, "crop_pct": 0.5})");
  EXPECT_EQ(large.resize->height, 384);
  EXPECT_EQ(large.crop_height, 0);
}

TEST(Preprocess, OfTorchvisionTakesTheMiddleAndTheStatisticsOfImageNet) {
  const Pixels pixels =
      preprocess({300, 400, std::vector<std::uint8_t>(300 * 400 * 3, 255)}, torchvision_preprocessing());
  EXPECT_EQ(pixels.height, 224);
  EXPECT_EQ(pixels.width, 224);
  EXPECT_FLOAT_EQ(pixels.values.front(), (1.0F - 0.485F) / 0.229F);
  EXPECT_FLOAT_EQ(pixels.values.back(), (1.0F - 0.406F) / 0.225F);
}

TEST(Preprocess, ChannelsBecomePlanes) {
  const Pixels pixels = preprocess({1, 2, {1, 2, 3, 4, 5, 6}}, {.rescale_factor = 1.0});
  EXPECT_THAT(pixels.values, testing::ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(Preprocess, SaysWhatIsWrong) {
  EXPECT_THAT([] { read(R"({"size": {"height": 0, "width": 4}})"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("size.height must be an integer in 1..16384")));
  EXPECT_THAT([] { read(R"({"size": 4, "resample": 5})"); }, ThrowsMessage<base::Unsupported>(HasSubstr("received 5")));
  EXPECT_THAT([] { read(R"({"size": 4, "image_std": [1, 0, 1]})"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("image_std must be positive numbers")));
  EXPECT_THAT([] { read(R"({"size": 4, "image_mean": [1, 2]})"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("image_mean must be three numbers")));
  EXPECT_THAT([] { read(R"({"size": 4, "do_center_crop": true})"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("crop_size must be")));
}

} // namespace
} // namespace tessera::image
