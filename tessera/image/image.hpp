#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tessera::image {

/// A picture: [height, width, 3] bytes, red, green, blue.
struct Image {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;

  const std::uint8_t* row(std::int64_t y) const { return pixels.data() + y * width * 3; }
  std::uint8_t* row(std::int64_t y) { return pixels.data() + y * width * 3; }
};

/// Reads a PNG or JPEG file, told apart by their first bytes. Grey becomes three equal channels, transparency is left
/// out, 16 bits become 8. Throws IoError, naming the file and what is wrong, for absent, damaged or oversized files,
/// Unsupported for other formats and for JPEG's CMYK.
Image read_image(const std::filesystem::path& path);
/// The same from memory; `where` names it in error texts.
Image decode_image(std::span<const std::byte> bytes, const std::string& where);

/// Most pixels of a picture that is read.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;

} // namespace tessera::image
