#include "tessera/image/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/image/picture_files.hpp"

namespace tessera::image {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

Image decode(const std::string& bytes) {
  return decode_image(std::as_bytes(std::span(bytes)), "x");
}

TEST(Image, APngGivesItsPixels) {
  const Image picture = test::random_picture(7, 5);
  const test::TemporaryFolder folder;
  const Image read = read_image(folder.write("a.png", test::png_of(picture.pixels, 7, 5)));
  EXPECT_EQ(read.height, 7);
  EXPECT_EQ(read.width, 5);
  EXPECT_EQ(read.pixels, picture.pixels);
}

TEST(Image, TransparencyIsLeftOutAndGreyBecomesThreeChannels) {
  const std::vector<std::uint8_t> rgba = {1, 2, 3, 0, 200, 100, 50, 128};
  EXPECT_EQ(decode(test::png_of(rgba, 1, 2, PNG_FORMAT_RGBA)).pixels,
            (std::vector<std::uint8_t>{1, 2, 3, 200, 100, 50}));
  EXPECT_EQ(decode(test::png_of({9, 250}, 1, 2, PNG_FORMAT_GRAY)).pixels,
            (std::vector<std::uint8_t>{9, 9, 9, 250, 250, 250}));
}

TEST(Image, AJpegGivesItsPixelsNearly) {
  Image picture{16, 24, std::vector<std::uint8_t>(16 * 24 * 3)};
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<std::uint8_t>(i / 6);
  const Image read = decode(test::jpeg_of(picture.pixels, 16, 24));
  ASSERT_EQ(read.pixels.size(), picture.pixels.size());
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) EXPECT_NEAR(read.pixels[i], picture.pixels[i], 4) << i;
  const std::vector<std::uint8_t> grey(64, 77);
  EXPECT_THAT(decode(test::jpeg_of(grey, 8, 8, JCS_GRAYSCALE)).pixels, testing::Each(77));
}

TEST(Image, SaysWhatIsWrongWithAFile) {
  const Image picture = test::random_picture(40, 40);
  const std::string png = test::png_of(picture.pixels, 40, 40);
  const std::string jpeg = test::jpeg_of(picture.pixels, 40, 40);
  EXPECT_THAT([&] { decode(png.substr(0, png.size() / 2)); },
              ThrowsMessage<base::IoError>(HasSubstr("[image] x is a damaged PNG")));
  EXPECT_THAT([&] { decode(jpeg.substr(0, jpeg.size() / 2)); },
              ThrowsMessage<base::IoError>(HasSubstr("[image] x is a damaged JPEG: it ends early")));
  EXPECT_THAT([&] { decode(jpeg.substr(0, 20)); }, ThrowsMessage<base::IoError>(HasSubstr("is a damaged JPEG")));
  EXPECT_THAT([&] { decode("GIF89a"); },
              ThrowsMessage<base::Unsupported>(HasSubstr("a PNG or JPEG is required; x is neither")));
  EXPECT_THAT([&] { decode(test::jpeg_of(std::vector<std::uint8_t>(256), 8, 8, JCS_CMYK)); },
              ThrowsMessage<base::Unsupported>(HasSubstr("CMYK")));
  EXPECT_THAT([] { read_image("/nowhere.png"); }, ThrowsMessage<base::IoError>(HasSubstr("/nowhere.png")));
}

} // namespace
} // namespace tessera::image
