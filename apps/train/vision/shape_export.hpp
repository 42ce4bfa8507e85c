#pragma once

#include <cstdint>
#include <filesystem>

#include "apps/train/vision/shape_classifier.hpp"
#include "tessera/image/preprocess.hpp"

namespace tessera::train {

/// How pictures become a model's pixel values: the bytes 0 .. 255 spread over -1 .. 1.
image::Preprocessing shape_preprocessing(std::int64_t side);

/// Pictures in turn of all shapes.
struct ShapePictures {
  at::Tensor images; ///< bytes [N, side, side, 3]
  at::Tensor labels; ///< [N]
};
/// Those with the numbers first, first + 1, ...
ShapePictures draw_shapes(std::uint64_t first, std::int64_t count, std::int64_t side);
/// pixel_values [N, 3, side, side] of such images, as classify and bringup make them of files.
at::Tensor pixel_values(const at::Tensor& images);

/// Pictures with this number and the following ones are held out; training uses smaller numbers.
inline constexpr std::uint64_t kFirstHeldOut = std::uint64_t{1} << 40;

/// Writes the folder: config.json, preprocessor_config.json, model.safetensors (filters and matrices in BF16, vectors
/// in F32), heldout.safetensors and, in examples/, one PNG file of each shape. Throws IoError.
void write_shape_checkpoint(const std::filesystem::path& folder, const ShapeClassifier& network,
                            const ShapeClassifierOptions& options, std::int64_t held_out);

} // namespace tessera::train
