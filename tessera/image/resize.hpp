#pragma once

#include "tessera/image/image.hpp"

namespace tessera::image {

/// Pillow's filters, with the numbers that `resample` has in a preprocessor_config.json.
enum class Resample { NEAREST = 0, LANCZOS = 1, BILINEAR = 2, BICUBIC = 3 };

/// The picture in another size, by the method of Pillow's Image.resize: a filter as wide as the picture
/// shrinks, first along rows, then along columns, weights in fixed point with 22 bits, each pass rounded to bytes.
/// Sizes are positive.
Image resize(const Image& image, std::int64_t height, std::int64_t width, Resample resample);

/// The middle of a picture. The size is the picture's at most.
Image center_crop(const Image& image, std::int64_t height, std::int64_t width);

} // namespace tessera::image
