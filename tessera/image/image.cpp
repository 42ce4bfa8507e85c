#include "tessera/image/image.hpp"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>
// After cstdio, whose types it uses without including it.
#include <jpeglib.h>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::image {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 30;

void require_size(std::int64_t width, std::int64_t height, const std::string& where) {
  base::require<base::IoError>(width > 0 && height > 0 && width <= kMostPixels / height,
                               "[image] {} must have 1 to {} pixels; it has {}x{}", where, kMostPixels, width, height);
}

Image decode_png(std::span<const std::byte> bytes, const std::string& where) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> guard(&png, png_image_free);
  const auto fail = [&] {
    throw base::IoError(fmt::format("[image] {} is a damaged PNG: {}; fetch it again", where, png.message));
  };
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) fail();
  require_size(png.width, png.height, where);
  // With an alpha channel, so that colours are not mixed with a background; it is dropped below.
  png.format = PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> rgba(PNG_IMAGE_SIZE(png));
  if (png_image_finish_read(&png, nullptr, rgba.data(), 0, nullptr) == 0) fail();
  Image image{png.height, png.width, {}};
  image.pixels.reserve(rgba.size() / 4 * 3);
  for (std::size_t i = 0; i < rgba.size(); i += 4)
    image.pixels.insert(image.pixels.end(), {rgba[i], rgba[i + 1], rgba[i + 2]});
  return image;
}

/// libjpeg reports errors by a call that must not return: it jumps back to decode_jpeg.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

void jump_back(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}

struct JpegHeader {
  std::int64_t width = 0;
  std::int64_t height = 0;
  bool converts = true; ///< to RGB
};

/// Reads a JPEG's header into `header`, or with `pixels` its rows. No object with a destructor lives in here, since
/// errors jump over it. False: `errors.message` says why.
bool run_jpeg(std::span<const std::byte> bytes, JpegErrors& errors, JpegHeader& header, std::uint8_t* pixels) {
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jump_back;
  errors.manager.output_message = [](j_common_ptr) {};
  if (setjmp(errors.back) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  header = {info.image_width, info.image_height,
            info.jpeg_color_space != JCS_CMYK && info.jpeg_color_space != JCS_YCCK};
  if (pixels != nullptr) {
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + std::size_t{info.output_scanline} * info.output_width * 3;
      jpeg_read_scanlines(&info, &row, 1);
    }
    // What libjpeg only warns of, a file that ends early, leaves grey areas.
    const bool whole = errors.manager.num_warnings == 0;
    if (!whole) std::snprintf(errors.message, sizeof errors.message, "%s", "it ends early or holds damaged data");
    jpeg_destroy_decompress(&info);
    return whole;
  }
  jpeg_destroy_decompress(&info);
  return true;
}

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& where) {
  JpegErrors errors{};
  JpegHeader header;
  const auto require_read = [&](bool read) {
    base::require<base::IoError>(read, "[image] {} is a damaged JPEG: {}; fetch it again", where, errors.message);
  };
  require_read(run_jpeg(bytes, errors, header, nullptr));
  require_size(header.width, header.height, where);
  base::require<base::Unsupported>(header.converts,
                                   "[image] {} must be grey or coloured by RGB; it is a CMYK JPEG; "
                                   "convert it",
                                   where);
  Image image{header.height, header.width,
              std::vector<std::uint8_t>(static_cast<std::size_t>(header.height * header.width * 3))};
  require_read(run_jpeg(bytes, errors, header, image.pixels.data()));
  return image;
}

} // namespace

Image decode_image(std::span<const std::byte> bytes, const std::string& where) {
  constexpr unsigned char kPng[] = {0x89, 'P', 'N', 'G'};
  constexpr unsigned char kJpeg[] = {0xFF, 0xD8, 0xFF};
  const auto begins_with = [&](const auto& magic) {
    return bytes.size() >= sizeof magic && std::memcmp(bytes.data(), magic, sizeof magic) == 0;
  };
  if (begins_with(kPng)) return decode_png(bytes, where);
  if (begins_with(kJpeg)) return decode_jpeg(bytes, where);
  throw base::Unsupported(fmt::format("[image] a PNG or JPEG is required; {} is neither; convert it", where));
}

Image read_image(const std::filesystem::path& path) {
  const std::string content = base::read_file(path, kMostBytes);
  return decode_image(std::as_bytes(std::span(content)), path.string());
}

} // namespace tessera::image
