#pragma once

#include <png.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>
// After cstdio, whose types it uses without including it.
#include <jpeglib.h>

#include "tessera/image/image.hpp"

namespace tessera::test {

/// A picture of random colours, the same for the same seed.
inline image::Image random_picture(std::int64_t height, std::int64_t width, std::uint32_t seed = 1) {
  std::mt19937 random(seed);
  image::Image picture{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3))};
  for (std::uint8_t& byte : picture.pixels) byte = static_cast<std::uint8_t>(random());
  return picture;
}

/// Bytes of a PNG of the given libpng format.
inline std::string png_of(const std::vector<std::uint8_t>& pixels, std::int64_t height, std::int64_t width,
                          png_uint_32 format = PNG_FORMAT_RGB) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(width);
  png.height = static_cast<png_uint_32>(height);
  png.format = format;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&png, nullptr, &size, 0, pixels.data(), 0, nullptr);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

/// Bytes of a JPEG of the best quality: one, three or four channels.
inline std::string jpeg_of(const std::vector<std::uint8_t>& pixels, std::int64_t height, std::int64_t width,
                           J_COLOR_SPACE space = JCS_RGB) {
  const int channels = space == JCS_GRAYSCALE ? 1 : space == JCS_CMYK ? 4 : 3;
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row =
        const_cast<JSAMPROW>(pixels.data() + info.next_scanline * info.image_width * static_cast<unsigned>(channels));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(memory), size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return bytes;
}

} // namespace tessera::test
