#include "tessera/image/resize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/image/picture_files.hpp"

namespace tessera::image {
namespace {

/// A picture of one row whose pixels are grey.
Image grey_row(const std::vector<std::uint8_t>& values) {
  Image image{1, std::ssize(values), {}};
  for (const std::uint8_t value : values) image.pixels.insert(image.pixels.end(), 3, value);
  return image;
}
std::vector<int> reds(const Image& image) {
  std::vector<int> values;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) values.push_back(image.pixels[i]);
  return values;
}

TEST(Resize, BilinearShrinksByATriangleAsWideAsTheStep) {
  // Two to one: weights 1/8, 3/8, 3/8, 1/8 inside; at an end what is there counts as the whole.
  EXPECT_THAT(reds(resize(grey_row({0, 80, 160, 240, 80, 0}), 1, 3, Resample::BILINEAR)),
              testing::ElementsAre(57, 170, 69));
}

TEST(Resize, BilinearGrowsBetweenNeighbours) {
  EXPECT_THAT(reds(resize(grey_row({0, 100}), 1, 4, Resample::BILINEAR)), testing::ElementsAre(0, 25, 75, 100));
}

TEST(Resize, BicubicOvershootsAndIsHeldWithinBytes) {
  EXPECT_THAT(reds(resize(grey_row({0, 0, 255, 255}), 1, 8, Resample::BICUBIC)),
              testing::ElementsAre(0, 0, 0, 52, 203, 255, 255, 255));
}

TEST(Resize, NearestTakesThePixelUnderTheCentre) {
  EXPECT_THAT(reds(resize(grey_row({1, 2, 3, 4, 5}), 1, 3, Resample::NEAREST)), testing::ElementsAre(1, 3, 5));
}

TEST(Resize, AFlatPictureStaysFlatInEveryFilterAndSize) {
  Image flat{9, 7, std::vector<std::uint8_t>(9 * 7 * 3, 131)};
  for (const Resample resample : {Resample::NEAREST, Resample::LANCZOS, Resample::BILINEAR, Resample::BICUBIC}) {
    for (const std::int64_t height : {1, 5, 9, 30}) {
      const Image result = resize(flat, height, 11, resample);
      EXPECT_EQ(result.height, height);
      EXPECT_EQ(result.width, 11);
      EXPECT_THAT(result.pixels, testing::Each(131));
    }
  }
}

TEST(Resize, ColumnsAreTreatedAsRowsAre) {
  const Image picture = test::random_picture(20, 1, 3);
  Image lying = picture;
  std::swap(lying.height, lying.width);
  for (const Resample resample : {Resample::LANCZOS, Resample::BILINEAR, Resample::BICUBIC})
    EXPECT_EQ(resize(picture, 7, 1, resample).pixels, resize(lying, 1, 7, resample).pixels);
}

TEST(Resize, CropsTakeTheMiddle) {
  EXPECT_THAT(reds(center_crop(grey_row({1, 2, 3, 4, 5}), 1, 2)), testing::ElementsAre(2, 3));
  EXPECT_THAT(
      [] {
        center_crop(grey_row({1, 2}), 1, 3);
      },
      testing::ThrowsMessage<base::InvalidArgument>(testing::HasSubstr("at most 1x2 pixels are there")));
}

} // namespace
} // namespace tessera::image
