#include "apps/train/vision/shape_export.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <png.h>

#include "apps/train/vision/shapes.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::train {
namespace {

using checkpoint::StorageType;

void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  base::write_file_atomically(path, json.dump(2) + "\n");
}

checkpoint::OutputTensor output_tensor(const std::string& name, StorageType dtype, const at::Tensor& tensor) {
  return {name, dtype, tensor.sizes().vec(), {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()}};
}

void write_weights(const std::filesystem::path& path, const ShapeClassifier& network) {
  std::vector<at::Tensor> kept; // keeps the bytes alive until they are written
  std::vector<checkpoint::OutputTensor> tensors;
  for (const auto& [name, tensor] : network.tensors()) {
    const bool matrix = tensor.dim() > 1;
    kept.push_back(tensor.detach().to(matrix ? at::kBFloat16 : at::kFloat).contiguous());
    tensors.push_back(output_tensor(name, matrix ? StorageType::BF16 : StorageType::F32, kept.back()));
  }
  checkpoint::write_safetensors(path, tensors, {{"format", "pt"}});
}

void write_png(const std::filesystem::path& path, const image::Image& picture) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(picture.width);
  png.height = static_cast<png_uint_32>(picture.height);
  png.format = PNG_FORMAT_RGB;
  base::require<base::IoError>(png_image_write_to_file(&png, path.c_str(), 0, picture.pixels.data(), 0, nullptr) != 0,
                               "[train] {} must be writable; libpng says: {}", path.string(), png.message);
}

/// Twice as large as the network takes them, so that they are resized like pictures of any other source.
void write_examples(const std::filesystem::path& folder, std::int64_t side) {
  std::filesystem::create_directories(folder);
  for (std::size_t shape = 0; shape < shape_names().size(); ++shape) {
    write_png(folder / (shape_names()[shape] + ".png"),
              draw_shape(static_cast<std::int64_t>(shape), 2 * side, 2 * kFirstHeldOut));
  }
}

} // namespace

image::Preprocessing shape_preprocessing(std::int64_t side) {
  return {.resize = image::Preprocessing::Size{.height = side, .width = side},
          .mean = {0.5F, 0.5F, 0.5F},
          .deviation = {0.5F, 0.5F, 0.5F}};
}

ShapePictures draw_shapes(std::uint64_t first, std::int64_t count, std::int64_t side) {
  const auto classes = std::ssize(shape_names());
  ShapePictures result{at::empty({count, side, side, 3}, at::kByte), at::empty({count}, at::kLong)};
  for (std::int64_t i = 0; i < count; ++i) {
    const image::Image picture = draw_shape(i % classes, side, first + static_cast<std::uint64_t>(i));
    std::copy(picture.pixels.begin(), picture.pixels.end(),
              result.images.data_ptr<std::uint8_t>() + i * side * side * 3);
    result.labels.data_ptr<std::int64_t>()[i] = i % classes;
  }
  return result;
}

at::Tensor pixel_values(const at::Tensor& images) {
  const std::int64_t side = images.size(1);
  const image::Preprocessing preprocessing = shape_preprocessing(side);
  const at::Tensor pixels = at::empty({images.size(0), 3, side, side});
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    const std::uint8_t* bytes = images.data_ptr<std::uint8_t>() + i * side * side * 3;
    const image::Pixels one = image::preprocess({side, side, {bytes, bytes + side * side * 3}}, preprocessing);
    std::copy(one.values.begin(), one.values.end(), pixels.data_ptr<float>() + i * 3 * side * side);
  }
  return pixels;
}

void write_shape_checkpoint(const std::filesystem::path& folder, const ShapeClassifier& network,
                            const ShapeClassifierOptions& options, std::int64_t held_out) {
  std::filesystem::create_directories(folder);
  write_weights(folder / "model.safetensors", network);
  write_json(folder / "config.json", resnet_config(options, shape_names()));
  const image::Preprocessing preprocessing = shape_preprocessing(options.side);
  write_json(folder / "preprocessor_config.json", {{"do_normalize", true},
                                                   {"do_rescale", true},
                                                   {"do_resize", true},
                                                   {"image_mean", preprocessing.mean},
                                                   {"image_processor_type", "ViTImageProcessor"},
                                                   {"image_std", preprocessing.deviation},
                                                   {"resample", static_cast<int>(preprocessing.resample)},
                                                   {"rescale_factor", preprocessing.rescale_factor},
                                                   {"size", {{"height", options.side}, {"width", options.side}}}});
  const ShapePictures pictures = draw_shapes(kFirstHeldOut, held_out, options.side);
  const std::vector<checkpoint::OutputTensor> tensors{output_tensor("images", StorageType::U8, pictures.images),
                                                      output_tensor("labels", StorageType::I64, pictures.labels)};
  checkpoint::write_safetensors(folder / "heldout.safetensors", tensors);
  write_examples(folder / "examples", options.side);
}

} // namespace tessera::train
